// Command fires prints, for each expression of expressions.txt, what robfig/cron v1.2.0 makes of it:
// its error, or the first fire times after a moment, in seconds since the epoch, UTC.
//
//	GOFLAGS=-mod=mod go run . <expressions.txt >fires.json
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	"github.com/robfig/cron"
)

const count = 25

type fires struct {
	Expression string  `json:"expression"`
	After      int64   `json:"after"`
	Fires      []int64 `json:"fires,omitempty"`
	Refused    bool    `json:"refused,omitempty"`
}

func next(expression string, after time.Time) fires {
	result := fires{Expression: expression, After: after.Unix()}
	schedule, err := cron.Parse(expression)
	if err != nil {
		result.Refused = true
		return result
	}
	for at := after; len(result.Fires) < count; {
		at = schedule.Next(at)
		if at.IsZero() {
			break
		}
		result.Fires = append(result.Fires, at.Unix())
	}
	return result
}

func main() {
	starts := []time.Time{
		time.Date(2026, 11, 27, 22, 30, 15, 0, time.UTC),
		time.Date(2027, 12, 31, 23, 59, 59, 0, time.UTC),
		time.Date(2028, 2, 28, 12, 0, 0, 0, time.UTC),
	}
	var all []fires
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		expression := strings.TrimRight(lines.Text(), "\n")
		if expression == "" || strings.HasPrefix(expression, "#") {
			continue
		}
		all = append(all, next(expression, starts[len(all)%len(starts)]))
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
	out := json.NewEncoder(os.Stdout)
	for _, one := range all {
		if err := out.Encode(one); err != nil {
			log.Fatal(err)
		}
	}
}

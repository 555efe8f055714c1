// Command next prints what GetNextScheduledEpoch of KFP's ScheduledWorkflow answers in 400 drawn cases.
//
// Run it inside a checkout of kubeflow/pipelines 2.17.0, as a package of its module:
//
//	mkdir backend/src/next && cp main.go backend/src/next && go run ./backend/src/next >next.json
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand"
	"os"
	"time"

	util "github.com/kubeflow/pipelines/backend/src/crd/controller/scheduledworkflow/util"
	swfapi "github.com/kubeflow/pipelines/backend/src/crd/pkg/apis/scheduledworkflow/v1beta1"
	v1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type scheduling struct {
	Cron      string `json:"cron,omitempty"`
	Interval  int64  `json:"interval_s,omitempty"`
	Start     *int64 `json:"start_at"`
	End       *int64 `json:"end_at"`
	Last      *int64 `json:"last"`
	Created   int64  `json:"created_at"`
	Now       int64  `json:"now"`
	NoCatchup bool   `json:"no_catchup"`
	Enabled   bool   `json:"enabled"`
	Active    int64  `json:"active"`
	MaxConc   int64  `json:"max_concurrency"`
	Next      *int64 `json:"next"`
	Runs      bool   `json:"runs"`
}

func at(x *int64) *v1.Time {
	if x == nil {
		return nil
	}
	t := v1.NewTime(time.Unix(*x, 0).UTC())
	return &t
}

func main() {
	r := rand.New(rand.NewSource(18))
	crons := []string{"0 0 6 * * MON", "0 */5 * * * *", "*/2 * * * * *", "0 0 0 1 * *", "0 30 8-18/2 * * 1-5", "0 0 * * * *"}
	base := int64(1795000000)
	enc := json.NewEncoder(os.Stdout)
	for i := 0; i < 400; i++ {
		x := scheduling{Created: base + r.Int63n(1000000), NoCatchup: r.Intn(2) == 0, Enabled: r.Intn(8) > 0, Active: r.Int63n(4), MaxConc: 1 + r.Int63n(4)}
		span := []int64{30, 600, 86400, 2000000}[r.Intn(4)]
		x.Now = x.Created + r.Int63n(span)
		opt := func(d int64) *int64 { v := x.Created + r.Int63n(2*d) - d; return &v }
		if r.Intn(2) == 0 {
			x.Start = opt(span)
		}
		if r.Intn(3) == 0 {
			x.End = opt(span)
			e := *x.End + span
			x.End = &e
		}
		if r.Intn(2) == 0 {
			l := x.Created + r.Int63n(x.Now-x.Created+1)
			x.Last = &l
		}
		if x.Start != nil && x.End != nil && *x.End <= *x.Start {
			x.End = nil
		}
		swf := &swfapi.ScheduledWorkflow{}
		swf.CreationTimestamp = *at(&x.Created)
		swf.Spec.Enabled = x.Enabled
		swf.Spec.NoCatchup = &x.NoCatchup
		swf.Spec.MaxConcurrency = &x.MaxConc
		swf.Status.Trigger.LastTriggeredTime = at(x.Last)
		if i%2 == 0 {
			x.Cron = crons[r.Intn(len(crons))]
			swf.Spec.Trigger.CronSchedule = &swfapi.CronSchedule{Cron: x.Cron, StartTime: at(x.Start), EndTime: at(x.End)}
		} else {
			x.Interval = []int64{2, 60, 3600, 86400, 604800}[r.Intn(5)]
			swf.Spec.Trigger.PeriodicSchedule = &swfapi.PeriodicSchedule{IntervalSecond: x.Interval, StartTime: at(x.Start), EndTime: at(x.End)}
		}
		n, run := util.NewScheduledWorkflow(swf).GetNextScheduledEpoch(x.Active, x.Now, *time.UTC)
		x.Runs = run
		if n < math.MaxInt64/4 {
			x.Next = &n
		}
		if err := enc.Encode(x); err != nil {
			fmt.Println(err)
		}
	}
}

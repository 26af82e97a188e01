// What a command of Cairn is to the command line: its words, and the four steps from a command line to an exit status.
// Each command is one of these (commands/<verb>.ts); everything that they share stands in run-verb.ts.

import type { OperationContext } from "../operations/operation.ts";
import type { Caller } from "./caller.ts";
import type { CommandLine } from "./command-line.ts";

/** An option of a command. */
export interface FlagSpec {
  readonly long: string;
  readonly short?: string | undefined;
  /** Name of its value in the help text; left out: the option takes none. */
  readonly value?: string | undefined;
  /** True for `--scratch[=NAME]`: the value may be left out, and stands after "=" only. */
  readonly isValueOptional?: boolean;
  readonly description: string;
  /** Heading in the help text. */
  readonly group?: string;
  /** Makes the option refused: called when it is given; throws OperatingError "usage" with the reason. */
  readonly refuse?: (() => never) | undefined;
}

/** A word that is no option, e.g. SOURCE. */
export interface ArgumentSpec {
  readonly name: string;
  readonly description: string;
  readonly isRequired: boolean;
}

/** One command. `Settings` and `Result` are those of its operation. */
export interface Verb<Settings, Result> {
  readonly name: string;
  readonly description: string;
  readonly arguments: readonly ArgumentSpec[];
  readonly flags: readonly FlagSpec[];
  readonly examples: readonly string[];
  /** True where a flag of a PostgreSQL tool owns -h: help is then -? and --help. */
  readonly ownsLetterH?: boolean;
  /** Throws OperatingError "usage" for what makes no sense. */
  readSettings(line: CommandLine, caller: Caller): Settings | Promise<Settings>;
  run(context: OperationContext, settings: Settings, caller: Caller): Promise<Result>;
  /** Text for people. */
  render(result: Result): string;
  /** True when the text is somebody else's format, and goes to a file or pipe byte for byte. */
  isExactText?(result: Result): boolean;
  exitStatus(result: Result): number;
}

/** A command whose types do not matter. */
export type AnyVerb = Verb<unknown, unknown>;

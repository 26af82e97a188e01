// From words to a command and its options, by commander. All options are kept in the order in which they were given,
// so that those which are passed on to pg_dump keep theirs. Commander's errors become OperatingError "usage".

import { Command, CommanderError, Option } from "commander";
import { OperatingError } from "../base/errors.ts";
import { ROOT_HELP, verbHelpEnd } from "./help-text.ts";
import type { AnyVerb, FlagSpec } from "./verb.ts";
import { VERBS } from "./verbs.ts";

/** An option as it was given, in its long form; `value` is null for one without. */
export interface GivenFlag {
  readonly name: string;
  readonly value: string | null;
}

/** The words after the command. */
export interface CommandLine {
  readonly arguments: readonly string[];
  readonly flags: readonly GivenFlag[];
}

/** What the words ask for. */
export type Request =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "run"; readonly verb: AnyVerb; readonly line: CommandLine };

/** True when the option was given. */
export function hasFlag(line: CommandLine, name: string): boolean {
  return line.flags.some((flag) => flag.name === name);
}

/** The value that was given last; null when there is none. */
export function lastValue(line: CommandLine, name: string): string | null {
  return line.flags.findLast((flag) => flag.name === name)?.value ?? null;
}

/** Every value that was given, in order. */
export function allValues(line: CommandLine, name: string): string[] {
  return line.flags.flatMap((flag) => (flag.name === name && flag.value !== null ? [flag.value] : []));
}

/** Reads the words after `cairn`. Throws OperatingError "usage". */
export async function parseCommandLine(words: readonly string[], version: string): Promise<Request> {
  const written: string[] = [];
  const root = newRoot(version, written);
  const wanted = wordsForCommander(words);
  const name = wanted.find((word) => !word.startsWith("-"));
  let request: Request | null = null;
  for (const entry of VERBS) {
    const command = root.command(entry.name).summary(entry.summary).helpGroup(entry.group);
    if (entry.name !== name) continue;
    const verb = await entry.load();
    defineVerb(command, verb, (line) => {
      request = { kind: "run", verb, line };
    });
  }
  try {
    root.parse(wanted, { from: "user" });
  } catch (error) {
    return requestOfError(error, written, name);
  }
  return request ?? { kind: "text", text: written.join("") };
}

function newRoot(version: string, written: string[]): Command {
  const root = new Command("cairn");
  root
    .version(version, "-V, --version", "print the version and exit")
    .helpOption("-h, --help", "print this help and exit")
    .helpCommand(false)
    .usage("COMMAND [options]")
    .exitOverride()
    .configureOutput({ writeOut: (text) => written.push(text), writeErr: () => undefined })
    .configureHelp({ showGlobalOptions: false, subcommandTerm: (command) => command.name() })
    .description(ROOT_HELP.description)
    .addHelpText("after", `\n${ROOT_HELP.end}`);
  return root;
}

const BEFORE_THE_COMMAND = new Set(["-R", "--repo", "--passphrase-file", "--json", "-q", "--quiet"]);

/** `help`, `help VERB` and a bare optional value become words that commander reads as they are meant. */
function wordsForCommander(words: readonly string[]): string[] {
  if (words[0] === "help") return [...words.slice(1, 2), "--help"];
  if (words.length === 0) throw new OperatingError("usage", "no command was given", { hint: 'See "cairn --help".' });
  const [first = ""] = words;
  if (BEFORE_THE_COMMAND.has(first.split("=")[0] ?? "")) {
    throw new OperatingError("usage", `option "${first.split("=")[0]}" stands before the command`, {
      hint: "Options come after the command: cairn list --repo /backups",
    });
  }
  // Without "=" commander would take the next word for the name of the scratch database.
  return words.map((word) => (word === "--scratch" ? "--scratch=" : word));
}

function defineVerb(command: Command, verb: AnyVerb, onLine: (line: CommandLine) => void): void {
  const flags: GivenFlag[] = [];
  command.description(verb.description).allowExcessArguments(false).usage(usageOf(verb));
  command.helpOption(verb.ownsLetterH === true ? "-?, --help" : "-h, --help", "print this help and exit");
  for (const { name, description, isRequired } of verb.arguments) {
    command.argument(isRequired ? `<${name}>` : `[${name}]`, description);
  }
  for (const flag of verb.flags) defineFlag(command, flag, flags);
  command.addHelpText("after", `\n${verbHelpEnd(verb)}`);
  command.action(() => onLine({ arguments: command.args, flags }));
}

function usageOf(verb: AnyVerb): string {
  const words = verb.arguments.map(({ name, isRequired }) => (isRequired ? name : `[${name}]`));
  return [...words, "[options]"].join(" ");
}

function defineFlag(command: Command, flag: FlagSpec, given: GivenFlag[]): void {
  const term = flag.short === undefined ? `--${flag.long}` : `-${flag.short}, --${flag.long}`;
  const value = flag.value === undefined ? "" : flag.isValueOptional === true ? ` [${flag.value}]` : ` <${flag.value}>`;
  const option = new Option(`${term}${value}`, flag.description).hideHelp(flag.refuse !== undefined);
  if (flag.group !== undefined) option.helpGroup(flag.group);
  command.addOption(option);
  command.on(`option:${option.name()}`, (text: string | null | undefined) => {
    flag.refuse?.();
    given.push({ name: flag.long, value: flag.value === undefined ? null : (text ?? null) });
  });
}

function requestOfError(error: unknown, written: readonly string[], name: string | undefined): Request {
  if (!(error instanceof CommanderError)) throw error;
  if (error.exitCode === 0) return { kind: "text", text: written.join("") };
  const [first = "", suggestion] = error.message.replace(/^error: /, "").split("\n(");
  const message = first.replaceAll(/(?<![\p{L}\p{N}])'([^']*)'/gu, '"$1"').replace(/\.$/, "");
  const isKnown = VERBS.some((entry) => entry.name === name);
  const help = isKnown ? `See "cairn ${name} --help".` : 'See "cairn --help".';
  const hint = suggestion === undefined ? help : `${suggestion.replace(/\)$/, "")} ${help}`;
  throw new OperatingError("usage", message, { hint });
}

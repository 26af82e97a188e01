// A second repository on one command line: the one that is copied to (--to-repo), or that a new one shall be like
// (--like). It has options and variables of its own, so that no passphrase is ever tried on the wrong repository.

import { OperatingError } from "../base/errors.ts";
import type { RepositoryAccess } from "../operations/operation.ts";
import type { Caller } from "./caller.ts";
import type { CommandLine } from "./command-line.ts";
import { sanitizeLine } from "./output/sanitize.ts";
import { repositoryAt } from "./repository-access.ts";
import type { FlagSpec } from "./verb.ts";

/** What stands before the names of the options and, in capitals, of the variables. */
export type OtherRepository = "to" | "like";

/** Options that open it. */
export function otherRepositoryFlags(other: OtherRepository, what: string, group: string): readonly FlagSpec[] {
  const variable = `CAIRN_${other.toUpperCase()}`;
  return [
    {
      long: `${other}-passphrase-file`,
      value: "FILE",
      description: `file whose first line is the passphrase of ${what} (default: ${variable}_PASSPHRASE, else asked on the terminal)`,
      group,
    },
    {
      long: `${other}-identity`,
      value: "FILE",
      description: `file with an age identity that opens ${what} (default: ${variable}_IDENTITY_FILE)`,
      group,
    },
  ];
}

/** The other repository, at that location. */
export function otherRepositoryAt(
  location: string,
  other: OtherRepository,
  { caller, line }: { readonly line: CommandLine; readonly caller: Caller },
): RepositoryAccess {
  const prefix = `${other}-`;
  const own = new Set(["passphrase-file", "identity"]);
  const flags = line.flags.flatMap((flag) => {
    if (own.has(flag.name)) return [];
    const name = flag.name.startsWith(prefix) ? flag.name.slice(prefix.length) : flag.name;
    return [own.has(name) ? { ...flag, name } : flag];
  });
  const { environment } = caller;
  const variables = ["PASSPHRASE", "RECOVERY_KEY", "IDENTITY_FILE"].map((name) => {
    return [`CAIRN_${name}`, environment[`CAIRN_${other.toUpperCase()}_${name}`]] as const;
  });
  const access = repositoryAt(
    location,
    { ...line, flags },
    { ...caller, environment: { ...environment, ...Object.fromEntries(variables) } },
  );
  return { ...access, askPassphrase: async () => await ask(location, other, caller) };
}

async function ask(location: string, other: OtherRepository, caller: Caller): Promise<string> {
  if (caller.askSecret !== null) return await caller.askSecret(`Passphrase of ${sanitizeLine(location)}: `);
  const where = sanitizeLine(location);
  throw new OperatingError("usage", `no passphrase was given for ${where}, and there is no terminal to ask for it`, {
    hint: `Set CAIRN_${other.toUpperCase()}_PASSPHRASE, or name a file with --${other}-passphrase-file.`,
  });
}

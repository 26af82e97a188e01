// Credentials out of a .netrc file: machine, default, login, password. Macros are passed over, accounts ignored.
// Source: the manual pages of ftp and curl ("--netrc").

/** User and password for a host. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

const TOKEN = /"((?:[^"\\]|\\.)*)"|(\S+)/g;
const MACRO = /^[ \t]*macdef\b[^]*?(?:\n[ \t]*\n|$(?![^]))/gm;

/** The login for a host, that of "default" where none is named, null where there is none. */
export function loginOf(text: string, host: string): Login | null {
  const tokens = Array.from(text.replace(MACRO, "\n").matchAll(TOKEN), ([, quoted, plain]) => {
    return plain ?? (quoted ?? "").replace(/\\(.)/g, "$1");
  });
  const entries = entriesOf(tokens);
  const found = entries.find(({ machine }) => machine === host) ?? entries.find(({ machine }) => machine === null);
  return found === undefined || found.user === "" ? null : { user: found.user, password: found.password };
}

interface Entry {
  /** Null: the default. */
  readonly machine: string | null;
  user: string;
  password: string;
}

function entriesOf(tokens: readonly string[]): Entry[] {
  const entries: Entry[] = [];
  for (let index = 0; index < tokens.length; index += 1) {
    const word = tokens[index];
    if (word === "default") entries.push({ machine: null, user: "", password: "" });
    if (!["machine", "login", "password", "account"].includes(word ?? "")) continue;
    const value = tokens[(index += 1)] ?? "";
    const last = entries.at(-1);
    if (word === "machine") entries.push({ machine: value.toLowerCase(), user: "", password: "" });
    if (word === "login" && last !== undefined) last.user = value;
    if (word === "password" && last !== undefined) last.password = value;
  }
  return entries;
}

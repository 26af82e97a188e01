// The repository that a command line names, and what opens it: a passphrase from a file, from CAIRN_PASSPHRASE, or asked
// on the terminal, or a file with an age identity; never from the command line, which everybody on the machine can read.

import { closeSync, fstatSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { OperatingError, messageOf } from "../base/errors.ts";
import type { RepositoryAccess, StorageAccess } from "../operations/operation.ts";
import type { Caller } from "./caller.ts";
import { lastValue } from "./command-line.ts";
import type { CommandLine } from "./command-line.ts";
import { sanitizeLine } from "./output/sanitize.ts";

const PASSPHRASE_BYTES_MAX = 4096;
const READABLE_BY_OTHERS = 0o044;
/** Below this a cap is more likely a typing mistake. */
const RATE_MIN = 1024;
const RETRY_NOTICE_INTERVAL_MS = 10_000;

/** The repository that the command line or CAIRN_REPOSITORY names; null when none is named. */
export function optionalRepository(line: CommandLine, caller: Caller): RepositoryAccess | null {
  const location = lastValue(line, "repo") ?? caller.environment["CAIRN_REPOSITORY"] ?? "";
  return location === "" ? null : repositoryAt(location, line, caller);
}

/** The same for commands that need one. Throws OperatingError "usage". */
export function repositoryOf(line: CommandLine, caller: Caller): RepositoryAccess {
  const access = optionalRepository(line, caller);
  if (access !== null) return access;
  throw new OperatingError("usage", "no repository was named", {
    hint: "Name it with --repo, or in the environment variable CAIRN_REPOSITORY.",
  });
}

/** Asks for a new passphrase, twice. */
export async function askNewPassphrase(caller: Caller, prompt = "Passphrase of the new repository: "): Promise<string> {
  const ask = askerOf(caller);
  const passphrase = await ask(prompt);
  if (passphrase === "") throw new OperatingError("usage", "the passphrase must not be empty");
  if ((await ask("The same again: ")) === passphrase) return passphrase;
  throw new OperatingError("usage", "the two passphrases are not the same", { hint: "Nothing was made. Try again." });
}

/** The passphrase that is given without asking; null when there is none. */
function givenPassphrase(line: CommandLine, caller: Caller): string | null {
  const file = lastValue(line, "passphrase-file");
  if (file !== null) return readPassphraseFile(file, caller);
  const passphrase = caller.environment["CAIRN_PASSPHRASE"] ?? "";
  return passphrase === "" ? null : passphrase;
}

/** Reads the identity file that was named, when it is needed. */
function givenIdentities(line: CommandLine, caller: Caller): RepositoryAccess["givenIdentities"] {
  const path = lastValue(line, "identity") ?? caller.environment["CAIRN_IDENTITY_FILE"] ?? "";
  if (path === "") return undefined;
  return async () => {
    const { IDENTITY_FILE_BYTES_MAX, readIdentities } = await import("../repository/index.ts");
    const ask = async (): Promise<string> =>
      await askerOf(caller)(`Passphrase of identity file ${sanitizeLine(path)}: `);
    return await readIdentities(readIdentityFile(path, IDENTITY_FILE_BYTES_MAX, caller), ask);
  };
}

function readIdentityFile(path: string, bytesMax: number, caller: Caller): Uint8Array {
  try {
    const { mode, size } = statSync(path);
    if (size > bytesMax) throw new Error(`it is longer than ${bytesMax} bytes`);
    if ((mode & READABLE_BY_OTHERS) !== 0) warnOfReaders("identity", path, caller);
    return readFileSync(path);
  } catch (error) {
    throw new OperatingError("usage", `could not read identity file "${path}": ${messageOf(error)}`);
  }
}

function warnOfReaders(what: string, path: string, caller: Caller): void {
  caller.notify({
    severity: "warning",
    message: `${what} file "${path}" can be read by other users`,
    hint: `Protect it: chmod 600 '${path}'`,
  });
}

/** The repository at a location that another word of the command line names. */
export function repositoryAt(location: string, line: CommandLine, caller: Caller): RepositoryAccess {
  return {
    location,
    storage: {
      environment: caller.environment,
      signal: caller.signal,
      uploadBytesPerSecond: rateOf(line, "limit-upload"),
      downloadBytesPerSecond: rateOf(line, "limit-download"),
      onRetry: retryNotices(caller),
    },
    cacheFolder: cacheFolder(caller),
    memoryFolder: memoryFolder(caller),
    givenPassphrase: givenPassphrase(line, caller),
    givenIdentities: givenIdentities(line, caller),
    givenRecoveryKey: caller.environment["CAIRN_RECOVERY_KEY"] || undefined,
    askPassphrase: async () => await askerOf(caller)(`Passphrase of ${sanitizeLine(location)}: `),
  };
}

/** As the XDG Base Directory Specification has it; none without a home. */
function cacheFolder({ environment }: Caller): string | undefined {
  const { XDG_CACHE_HOME: cache = "", HOME: home = "" } = environment;
  if (isAbsolute(cache)) return join(cache, "cairn");
  return isAbsolute(home) ? join(home, ".cache", "cairn") : undefined;
}

/** The same for what is remembered: beside the cache, since it must not go with that. */
function memoryFolder({ environment }: Caller): string | undefined {
  const { XDG_STATE_HOME: state = "", HOME: home = "" } = environment;
  if (isAbsolute(state)) return join(state, "cairn", "data-keys");
  return isAbsolute(home) ? join(home, ".local", "state", "cairn", "data-keys") : undefined;
}

/** A rate in bytes per second, binary units; undefined when it was not given. */
function rateOf(line: CommandLine, name: string): number | undefined {
  const text = lastValue(line, name);
  if (text === null) return undefined;
  const match = /^(\d{1,9}(?:\.\d{1,3})?)([KMG]?)$/i.exec(text);
  const rate = Number(match?.[1] ?? 0) * 1024 ** ["", "K", "M", "G"].indexOf(match?.[2]?.toUpperCase() ?? "");
  if (rate >= RATE_MIN) return rate;
  throw new OperatingError("usage", `--${name} must be bytes per second like 500K, 20M or 1.5G, not "${text}"`);
}

/** Tells of requests that are sent again, now and then. */
function retryNotices(caller: Caller): StorageAccess["onRetry"] {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  let count = 0;
  return ({ attempt, attemptsMax, delayMs, message }) => {
    count += 1;
    if (performance.now() - toldAtMs < RETRY_NOTICE_INTERVAL_MS) return;
    toldAtMs = performance.now();
    const again = `it is sent again in ${(delayMs / 1000).toFixed(1)} s (attempt ${attempt} of ${attemptsMax} failed)`;
    caller.notify({ severity: "info", message, detail: `${again}; ${count} retries so far.` });
  };
}

function askerOf(caller: Caller): (prompt: string) => Promise<string> {
  if (caller.askSecret !== null) return caller.askSecret;
  throw new OperatingError("usage", "no passphrase was given, and there is no terminal to ask for it", {
    hint: "Set CAIRN_PASSPHRASE, or name a file that only you may read with --passphrase-file.",
  });
}

/** The first line of a file. Throws OperatingError "usage". */
export function readPassphraseFile(path: string, caller: Caller): string {
  const { text, mode } = readBeginning(path);
  if ((mode & READABLE_BY_OTHERS) !== 0) warnOfReaders("passphrase", path, caller);
  const lineEnd = text.indexOf("\n");
  const first = (lineEnd < 0 ? text : text.slice(0, lineEnd)).replace(/\r$/, "");
  if (first === "") throw new OperatingError("usage", `the first line of passphrase file "${path}" is empty`);
  if (lineEnd < 0 && Buffer.byteLength(text) > PASSPHRASE_BYTES_MAX) {
    throw new OperatingError(
      "usage",
      `the first line of passphrase file "${path}" is longer than ${PASSPHRASE_BYTES_MAX} bytes`,
    );
  }
  return first;
}

/** The beginning of a file or pipe, up to its first line end. */
function readBeginning(path: string): { readonly text: string; readonly mode: number } {
  let file: number | null = null;
  try {
    file = openSync(path, "r");
    const { mode } = fstatSync(file);
    const buffer = Buffer.alloc(PASSPHRASE_BYTES_MAX + 1);
    let length = 0;
    while (length < buffer.length && !buffer.subarray(0, length).includes(0x0a)) {
      const count = readSync(file, buffer, length, buffer.length - length, null);
      if (count === 0) break;
      length += count;
    }
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(buffer.subarray(0, length));
    return { text, mode };
  } catch (error) {
    const reason = error instanceof TypeError ? "it is not UTF-8 text" : messageOf(error);
    throw new OperatingError("usage", `could not read passphrase file "${path}": ${reason}`);
  } finally {
    if (file !== null) closeSync(file);
  }
}

// Command line → settings, for every command.

import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { READING_DEFAULTS } from "../operations/backup/incremental/types.ts";
import type { Notice } from "../operations/operation.ts";
import { passedFlags, refusedFlags } from "../dump/selection-flags.ts";
import type { Caller } from "./caller.ts";
import { parseCommandLine } from "./command-line.ts";

const VERSION = "1.2.3";

interface TestCaller extends Caller {
  readonly notices: Notice[];
}

function callerWith(environment: Record<string, string> = {}, more: Partial<Caller> = {}): TestCaller {
  const notices: Notice[] = [];
  const signal = new AbortController().signal;
  const notify = (notice: Notice): void => void notices.push(notice);
  const nothing = async (): Promise<void> => undefined;
  return { environment, isOutputTerminal: false, signal, askSecret: null, showText: nothing, notify, notices, ...more };
}

async function settingsOf(words: string[], caller: Caller = callerWith()): Promise<Record<string, unknown>> {
  const request = await parseCommandLine(words, VERSION);
  if (request.kind !== "run") throw new Error("no command");
  return (await request.verb.readSettings(request.line, caller)) as Record<string, unknown>;
}

async function textOf(words: string[]): Promise<string> {
  const request = await parseCommandLine(words, VERSION);
  return request.kind === "text" ? request.text : "";
}

const repository = {
  location: "/r",
  storage: expect.objectContaining({ environment: expect.any(Object) as object }) as object,
  givenPassphrase: null,
  askPassphrase: expect.any(Function) as () => Promise<string>,
};

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-cli-"));
});
afterAll(async () => rm(folder, { recursive: true }));

describe("cairn", () => {
  test("prints its version", async () => {
    expect(await textOf(["--version"])).toBe("1.2.3\n");
    expect(await textOf(["-V"])).toBe("1.2.3\n");
  });

  test("prints a help text that names every command, and of every command one", async () => {
    const help = await textOf(["--help"]);
    for (const name of ["init", "doctor", "dump", "backup", "list", "show", "restore", "export", "verify"]) {
      expect(help).toMatch(new RegExp(`^  ${name} `, "m"));
      const ofVerb = await textOf(["help", name]);
      expect(ofVerb).toContain(`Usage: cairn ${name}`);
      expect(ofVerb).toContain("--json");
      expect(ofVerb).toContain("Examples:");
      expect(await textOf([name, "--help"])).toBe(ofVerb);
    }
  });

  test.each([
    [[], "no command was given", 'See "cairn --help".'],
    [["bakup"], 'unknown command "bakup"', 'Did you mean backup? See "cairn --help".'],
    [["list", "--jsom"], 'unknown option "--jsom"', 'Did you mean --json? See "cairn list --help".'],
    [["list", "a", "b"], "too many arguments", 'See "cairn list --help".'],
    [["show"], "missing required argument", 'See "cairn show --help".'],
    [["list", "--repo"], "argument missing", 'See "cairn list --help".'],
    [["--repo", "/r", "list"], 'option "--repo" stands before the command', "Options come after"],
  ])("refuses %j", async (words, message, hint) => {
    const error = expect.objectContaining({
      code: "usage",
      message: expect.stringContaining(message) as string,
      hint: expect.stringContaining(hint) as string,
    }) as Error;
    await expect(parseCommandLine(words, VERSION)).rejects.toEqual(error);
  });
});

describe("cairn init", () => {
  test("reads its settings", async () => {
    const settings = await settingsOf(["init", "-R", "/r", "--recovery-kit", "kit.txt"]);
    expect(settings).toEqual({ repository, isEncrypted: true, recipients: [], recoveryKitFile: "kit.txt" });
    const plain = await settingsOf(["init", "--repo=/r", "--no-encryption"]);
    expect(plain).toEqual({ repository, isEncrypted: false, recipients: [], recoveryKitFile: null });
    const recipients = ["--recipient", "age1a", "--recipient", "age1b", "--recovery-kit", "k"];
    expect(await settingsOf(["init", "-R", "/r", ...recipients])).toMatchObject({ recipients: ["age1a", "age1b"] });
  });

  test("refuses a recovery kit on a pipe, and in JSON", async () => {
    const message = "the recovery kit is shown on a terminal only, or written to a file";
    await expect(settingsOf(["init", "-R", "/r"])).rejects.toThrow(message);
    const onTerminal = callerWith({}, { isOutputTerminal: true });
    await expect(settingsOf(["init", "-R", "/r", "--json"], onTerminal)).rejects.toThrow(message);
    expect(await settingsOf(["init", "-R", "/r"], onTerminal)).toMatchObject({ recoveryKitFile: null });
  });

  test("refuses --no-encryption with what only encryption needs", async () => {
    for (const flag of ["--recovery-kit", "--recipient"]) {
      const words = ["init", "-R", "/r", "--no-encryption", flag, "k"];
      await expect(settingsOf(words)).rejects.toThrow("together");
    }
    const caller = callerWith({ CAIRN_PASSPHRASE: "x" });
    await expect(settingsOf(["init", "-R", "/r", "--no-encryption"], caller)).rejects.toThrow("a passphrase was given");
  });

  test("asks twice for the passphrase", async () => {
    const ask = async (answers: string[]): Promise<string> => {
      const caller = callerWith({}, { isOutputTerminal: true, askSecret: async () => answers.shift() ?? "" });
      const settings = await settingsOf(["init", "-R", "/r"], caller);
      return await (settings["repository"] as { askPassphrase(): Promise<string> }).askPassphrase();
    };
    expect(await ask(["secret", "secret"])).toBe("secret");
    await expect(ask(["secret", "other"])).rejects.toThrow("the two passphrases are not the same");
    await expect(ask(["", ""])).rejects.toThrow("must not be empty");
  });
});

describe("the repository and its passphrase", () => {
  test("come from the environment when the command line does not say", async () => {
    const caller = callerWith({ CAIRN_REPOSITORY: "/e", CAIRN_PASSPHRASE: "from env" });
    expect(await settingsOf(["list"], caller)).toMatchObject({
      repository: { location: "/e", givenPassphrase: "from env" },
      lineage: null,
    });
    expect(await settingsOf(["list", "-R", "/r", "shop"], caller)).toMatchObject({
      repository: { location: "/r" },
      lineage: "shop",
    });
    await expect(settingsOf(["list"])).rejects.toThrow("no repository was named");
  });

  test("a file's first line is the passphrase; a file that others can read gives a warning", async () => {
    const file = join(folder, "passphrase");
    await writeFile(file, "ähm, 1\r\nsecond line\n", { mode: 0o600 });
    const caller = callerWith({ CAIRN_PASSPHRASE: "not this" });
    const words = ["list", "-R", "/r", "--passphrase-file", file];
    expect(await settingsOf(words, caller)).toMatchObject({ repository: { givenPassphrase: "ähm, 1" } });
    expect(caller.notices).toEqual([]);
    await chmod(file, 0o644);
    await settingsOf(words, caller);
    expect(caller.notices).toMatchObject([{ severity: "warning", hint: `Protect it: chmod 600 '${file}'` }]);
  });

  test.each([
    ["", "is empty"],
    ["\nsecond", "is empty"],
    ["x".repeat(5000), "longer than 4096 bytes"],
    [Buffer.of(0xff, 0xfe, 0x0a), "it is not UTF-8 text"],
  ])("a passphrase file is refused when its first line is no passphrase (%#)", async (content, message) => {
    const file = join(folder, "bad");
    await writeFile(file, content, { mode: 0o600 });
    await expect(settingsOf(["list", "-R", "/r", "--passphrase-file", file])).rejects.toThrow(message);
  });

  test("a passphrase is not asked where there is no terminal", async () => {
    const settings = await settingsOf(["list", "-R", "/r"]);
    const asking = (settings["repository"] as { askPassphrase(): Promise<string> }).askPassphrase();
    await expect(asking).rejects.toThrow("no passphrase was given, and there is no terminal to ask for it");
  });
});

describe("cairn backup, dump and doctor", () => {
  test("backup reads its settings", async () => {
    const words = [
      "backup",
      "postgresql://h/db",
      "-R",
      "/r",
      "--lineage",
      "shop",
      "-j",
      "4",
      "--tag",
      "a=b",
      "--tag",
      "c=d=e",
    ];
    const dropLimitsDefault = { totalPercent: 50, tablePercent: 90 };
    const usual = { deltas: "auto", dropLimits: dropLimitsDefault, reading: READING_DEFAULTS };
    expect(await settingsOf([...words, "--compress", "zstd:9", "--pg-dump", "bundled", "-n", "public"])).toEqual({
      source: "postgresql://h/db",
      repository,
      lineage: "shop",
      jobs: 4,
      tags: { a: "b", c: "d=e" },
      compression: "zstd:9",
      pgDump: "bundled",
      selection: ["--schema=public"],
      globals: "with passwords",
      ...usual,
    });
    expect(await settingsOf(["backup", "-R", "/r"])).toEqual({
      source: undefined,
      repository,
      lineage: null,
      jobs: null,
      tags: {},
      compression: null,
      pgDump: null,
      selection: [],
      ...usual,
      globals: "with passwords",
    });
    const limits = ["--max-drop", "off", "--max-table-drop", "12.5"];
    const { dropLimits } = (await settingsOf(["backup", "-R", "/r", ...limits])) as { dropLimits: unknown };
    expect(dropLimits).toEqual({ totalPercent: null, tablePercent: 12.5 });
  });

  test("dump reads its settings", async () => {
    expect(await settingsOf(["dump", "db", "-f", "x.dump", "--overwrite", "--archive-version", "1.14", "-s"])).toEqual({
      source: "db",
      file: "x.dump",
      overwrite: true,
      jobs: null,
      archiveVersion: "1.14",
      compression: null,
      pgDump: null,
      selection: ["--schema-only"],
    });
    await expect(settingsOf(["dump", "db"])).rejects.toThrow("option --file is needed");
  });

  test("doctor reads its settings; the repository may be left out", async () => {
    expect(await settingsOf(["doctor", "db"])).toEqual({ source: "db", selection: [], pgDump: null, repository: null });
    expect(await settingsOf(["doctor", "-R", "/r"])).toMatchObject({ source: undefined, repository });
  });

  test("pass pg_dump's flags on in their order, whatever their form", async () => {
    const words = [
      "-t",
      "a",
      "-Tb",
      "--table=c d",
      "--table",
      "-e",
      "-sOx",
      "--no-data",
      "--schema",
      "n",
      "--no-schema",
    ];
    expect((await settingsOf(["backup", "-R", "/r", ...words]))["selection"]).toEqual([
      "--table=a",
      "--exclude-table=b",
      "--table=c d",
      "--table=-e",
      "--schema-only",
      "--no-owner",
      "--no-privileges",
      "--no-data",
      "--schema=n",
      "--no-schema",
    ]);
  });

  test("know every flag that is passed on, with words for the help text", async () => {
    const help = await textOf(["doctor", "--help"]);
    expect(help).not.toContain("see pg_dump's manual page");
    for (const { long, short, takesValue } of passedFlags()) {
      expect(help).toContain(`--${long}`);
      const value = takesValue === true ? ["v"] : [];
      const expected = [takesValue === true ? `--${long}=v` : `--${long}`];
      expect((await settingsOf(["doctor", `--${long}`, ...value]))["selection"]).toEqual(expected);
      const shortForm = short === undefined ? `--${long}` : `-${short}`;
      expect((await settingsOf(["doctor", shortForm, ...value]))["selection"]).toEqual(expected);
    }
  });

  test("refuse the others with the reason", async () => {
    for (const { long, short, takesValue } of refusedFlags()) {
      const value = takesValue === true ? ["v"] : [];
      const refusal = expect.objectContaining({
        code: "usage",
        detail: expect.stringMatching(/^[A-Z].*\.$/) as string,
      }) as Error;
      await expect(settingsOf(["doctor", `--${long}`, ...value])).rejects.toEqual(refusal);
      const shortForm = short === undefined ? `--${long}` : `-${short}`;
      await expect(settingsOf(["doctor", shortForm, ...value])).rejects.toEqual(refusal);
    }
    // Not a help text with exit status 0, which a cron job would take for a backup.
    await expect(settingsOf(["backup", "db", "-h", "localhost"])).rejects.toThrow("--host makes no sense");
  });

  test.each([
    [["backup", "-R", "/r", "-j", "0"], '--jobs must be a whole number of at least 1, not "0"'],
    [["backup", "-R", "/r", "-j", "1e3"], "--jobs must be"],
    [["backup", "-R", "/r", "--max-drop", "101"], "--max-drop must be a percentage"],
    [["backup", "-R", "/r", "--max-table-drop", "-5"], "--max-table-drop must be a percentage"],
    [["backup", "-R", "/r", "-j", "65"], "--jobs must be from 1 to 64, not 65"],
    [["dump", "-f", "x", "-j", "65"], "--jobs must be from 1 to 64, not 65"],
    [["restore", "x", "-R", "/r", "--to", "t", "-j", "65"], "--jobs must be from 1 to 64, not 65"],
    [["backup", "-R", "/r", "--tag", "x"], '--tag must be KEY=VALUE, not "x"'],
    [["backup", "-R", "/r", "--tag", "x=1", "--tag", "x=2"], '--tag "x" was given twice'],
  ])("refuse %j", async (words, message) => {
    await expect(settingsOf(words)).rejects.toThrow(message);
  });
});

describe("cairn show, export and verify", () => {
  test("show reads its settings", async () => {
    expect(await settingsOf(["show", "latest", "-R", "/r"])).toEqual({
      repository,
      reference: "latest",
      what: "summary",
      tables: [],
    });
    expect(await settingsOf(["show", "a@latest", "-R", "/r", "--list"])).toMatchObject({ what: "list" });
    expect(await settingsOf(["show", "x", "-R", "/r", "--schema", "-t", "a", "-t", "b"])).toMatchObject({
      what: "schema",
      tables: ["a", "b"],
    });
    await expect(settingsOf(["show", "x", "-R", "/r", "-t", "a"])).rejects.toThrow("needs --schema");
    await expect(settingsOf(["show", "x", "-R", "/r", "--list", "--schema"])).rejects.toThrow("together");
  });

  test("export reads its settings", async () => {
    const words = ["export", "latest", "-R", "/r", "--file", "x.dump"];
    expect(await settingsOf(words)).toEqual({
      repository,
      reference: "latest",
      file: "x.dump",
      overwrite: false,
      format: "custom",
      archiveVersion: null,
      compression: null,
    });
    expect(
      await settingsOf([...words, "-F", "custom", "--compress", "gzip:1", "--archive-version=1.14"]),
    ).toMatchObject({
      compression: "gzip:1",
      archiveVersion: "1.14",
    });
  });

  test("verify reads its settings", async () => {
    expect(await settingsOf(["verify", "2026", "-R", "/r"])).toEqual({ repository, reference: "2026" });
  });

  test("diff and drill read their settings", async () => {
    expect(await settingsOf(["diff", "2025", "2026", "-R", "/r"])).toEqual({
      repository,
      before: "2025",
      after: "2026",
    });
    const drill = {
      repository,
      reference: "latest",
      on: null,
      assertions: [],
      evidence: null,
      jobs: null,
      pgDump: null,
    };
    expect(await settingsOf(["drill", "latest", "-R", "/r"])).toEqual(drill);
    const words = [
      "--assert",
      "SELECT 1 = 1",
      "--assert",
      "SELECT true",
      "--on",
      "postgresql://h/db",
      "--evidence",
      "/e",
    ];
    expect(await settingsOf(["drill", "latest", "-R", "/r", ...words, "-j", "3"])).toEqual({
      ...drill,
      assertions: ["SELECT 1 = 1", "SELECT true"],
      on: "postgresql://h/db",
      evidence: "/e",
      jobs: 3,
    });
  });
});

describe("cairn restore", () => {
  const words = ["restore", "latest", "-R", "/r", "--to", "postgresql://h/db"];

  test("restores all into the target itself", async () => {
    expect(await settingsOf(words)).toEqual({
      repository,
      reference: "latest",
      target: "postgresql://h/db",
      options: {},
      mode: { kind: "in-place" },
      allowsNonEmptyTarget: false,
    });
    await expect(settingsOf(words.slice(0, 4))).rejects.toThrow("option --to is needed");
  });

  test.each([
    [["-t", "a"], { kind: "scratch", name: null }, false],
    [["-n", "s"], { kind: "scratch", name: null }, false],
    [["-t", "a", "--scratch=x"], { kind: "scratch", name: "x" }, false],
    [["--scratch"], { kind: "scratch", name: null }, false],
    [["-t", "a", "--in-place"], { kind: "in-place" }, true],
    [["-t", "a", "-a", "--in-place"], { kind: "in-place" }, true],
    [["-a"], { kind: "in-place" }, true],
    [["--clean"], { kind: "in-place" }, true],
    [["-I", "i"], { kind: "in-place" }, false],
  ])("with %j goes into %j", async (more, mode, allowsNonEmptyTarget) => {
    expect(await settingsOf([...words, ...more])).toMatchObject({ mode, allowsNonEmptyTarget });
  });

  test("takes no following word for the scratch database's name", async () => {
    const settings = await settingsOf(["restore", "--scratch", "latest", "-R", "/r", "--to", "x"]);
    expect(settings).toMatchObject({ reference: "latest", mode: { kind: "scratch", name: null } });
  });

  test.each([["--clean"], ["--create"], ["-a"]])("refuses %s for a scratch database", async (flag) => {
    await expect(settingsOf([...words, "-t", "a", flag])).rejects.toThrow("makes no sense for a new scratch database");
  });

  test("reads every flag of pg_restore", async () => {
    const list = join(folder, "list");
    const filter = join(folder, "filter");
    await writeFile(list, ";\n1; 2 3 TABLE public a me\n");
    await writeFile(filter, "include table a\n");
    const flags = "-t a -t b -n s -N x -I i -P f(integer) -T t --section data --section=post-data --strict-names -O -x";
    const more =
      "--no-comments --no-policies --no-publications --no-subscriptions --no-security-labels --no-tablespaces";
    const rest =
      "--no-table-access-method --statistics -e --no-data-for-failed-tables --disable-triggers -S su --role r";
    const last = "--enable-row-security --use-set-session-authorization -j 3 --transaction-size 5 --in-place";
    const settings = await settingsOf([
      ...words,
      ...`${flags} ${more} ${rest} ${last}`.split(" "),
      "-L",
      list,
      "--filter",
      filter,
    ]);
    expect(settings["options"]).toEqual({
      tables: ["a", "b"],
      schemas: ["s"],
      excludeSchemas: ["x"],
      indexes: ["i"],
      functions: ["f(integer)"],
      triggers: ["t"],
      sections: ["data", "post-data"],
      strictNames: true,
      noOwner: true,
      noAcl: true,
      noComments: true,
      noPolicies: true,
      noPublications: true,
      noSubscriptions: true,
      noSecurityLabels: true,
      noTablespaces: true,
      noTableAccessMethod: true,
      statistics: true,
      exitOnError: true,
      noDataForFailedTables: true,
      disableTriggers: true,
      superuser: "su",
      role: "r",
      enableRowSecurity: true,
      useSetSessionAuthorization: true,
      jobs: 3,
      transactionSize: 5,
      useList: ";\n1; 2 3 TABLE public a me\n",
      filter: "include table a\n",
    });
  });

  test.each([
    ["-s", "schemaOnly"],
    ["-a", "dataOnly"],
    ["-c", "clean"],
    ["-C", "create"],
    ["-1", "singleTransaction"],
    ["--no-schema", "noSchema"],
    ["--no-data", "noData"],
    ["--no-statistics", "noStatistics"],
    ["--statistics-only", "statisticsOnly"],
    ["--no-acl", "noAcl"],
  ])("reads %s", async (flag, setting) => {
    expect((await settingsOf([...words, flag]))["options"]).toEqual({ [setting]: true });
  });

  test.each([
    [["-s", "-a"], "cannot be used together"],
    [["-1", "-j", "2"], "cannot specify both"],
    [["--section", "middle"], 'unknown section "middle"'],
    [["-L", "/nowhere/list"], 'could not read file "/nowhere/list"'],
    [["-h", "localhost"], "--host makes no sense here"],
    [["-d", "db"], "--dbname makes no sense here"],
    [["-l"], "--list makes no sense here"],
    [["--scratch", "--in-place"], "cannot be used together"],
  ])("refuses %j", async (more, message) => {
    await expect(settingsOf([...words, ...more])).rejects.toThrow(message);
  });
});

// What a run may take over at all: one test for each rule, from a parent and a run where nothing speaks against it.

import { describe, expect, test } from "vitest";
import type { IncrementalRecord, RunVerdict, ServerPosition, TextShape, WalSummary } from "../types.ts";
import { judgeDigest, judgeRun } from "./judge-run.ts";
import { NOW, PARENT, SUMMARIES, summary } from "./rules.fixture.ts";
import { TEXT_SETTINGS } from "./text-shape.ts";

interface Change {
  readonly parent?: Partial<IncrementalRecord>;
  readonly now?: Partial<ServerPosition>;
  readonly textThen?: Partial<TextShape>;
  readonly text?: Partial<TextShape>;
  readonly summaries?: readonly WalSummary[];
}

function judged({ parent, now, textThen, text, summaries = SUMMARIES }: Change): RunVerdict {
  const record = {
    ...PARENT,
    text: { ...PARENT.text, ...textThen },
    ...parent,
  };
  const facts = { position: { ...NOW.position, ...now }, text: { ...NOW.text, ...text } };
  return judgeRun(record, facts, summaries);
}

function reasonOf(change: Change): string | null {
  const verdict = judged(change);
  return verdict.kind === "read-all" ? verdict.reason : null;
}

test("judgeRun() compares from the parent's base to the snapshot's LSN, and names the files", () => {
  expect(judged({ summaries: SUMMARIES.toReversed() })).toEqual({
    kind: "compare",
    fromLsn: 1000n,
    toLsn: 3500n,
    summaries: SUMMARIES.slice(1),
    sealedSummaries: [SUMMARIES[1]],
  });
});

test("judgeRun() compares from the base, however long before the parent's snapshot that is", () => {
  const parent = { position: { ...PARENT.position, snapshotLsn: 2500n }, sealLsn: 3000n };
  expect(judged({ parent })).toMatchObject({
    fromLsn: 1000n,
    summaries: SUMMARIES.slice(1),
    sealedSummaries: SUMMARIES.slice(1, 3),
  });
});

test("judgeRun() compares when nothing has happened since the parent", () => {
  const verdict = judged({ now: { snapshotLsn: 1500n, xmin: 750n, xmax: 760n }, summaries: SUMMARIES.slice(0, 2) });
  expect(verdict).toMatchObject({ kind: "compare", summaries: [SUMMARIES[1]] });
});

describe("judgeRun() reads everything when the history is another one:", () => {
  test.each<[string, Change, string]>([
    ["system identifier", { now: { systemIdentifier: "8" } }, "another server: system identifier 73"],
    ["database", { now: { databaseOid: 6 } }, "another database: OID 5 then, 6 now"],
    ["timeline", { now: { timeline: 2 } }, "another timeline: 1 then, 2 now"],
    ["no seal", { parent: { sealLsn: null, summaryDigest: null } }, "the parent is not sealed: no WAL summary"],
    ["no digest", { parent: { summaryDigest: null } }, "the parent is not sealed"],
    ["no base", { parent: { baseLsn: null } }, "the parent has no base"],
  ])("%s", (_, change, reason) => {
    expect(reasonOf(change)).toMatch(reason);
  });

  test("a timeline with the same boundaries on both", () => {
    const both = [...SUMMARIES, ...SUMMARIES.map((one) => ({ ...one, timeline: 2 }))];
    expect(reasonOf({ now: { timeline: 2 }, summaries: both })).toBe("another timeline: 1 then, 2 now");
  });

  test("no summary ends exactly at the seal, though all of the WAL is covered", () => {
    const lost = "no WAL summary ends at the parent's seal, 0/7D0: the file was removed, or the server was put back";
    expect(reasonOf({ summaries: [summary(1000, 1999), summary(1999, 4000)] })).toMatch(lost);
    expect(reasonOf({ summaries: [summary(1000, 2001), summary(2000, 4000)] })).toMatch(lost);
    expect(reasonOf({ summaries: [summary(1000, 4000), summary(900, 2000, 2)] })).toMatch(lost);
  });

  test("no summary starts exactly at the base, though all of the WAL is covered", () => {
    const lost = "no WAL summary starts at the parent's base, 0/3E8";
    expect(reasonOf({ summaries: [summary(999, 2000), summary(2000, 4000)] })).toBe(lost);
    expect(reasonOf({ summaries: [summary(999, 2000), summary(1000, 2000, 2), summary(2000, 4000)] })).toBe(lost);
  });
});

describe("judgeRun() reads everything when summaries are missing:", () => {
  test.each<[string, readonly WalSummary[], string]>([
    ["in the middle", [SUMMARIES[1]!, SUMMARIES[3]!], "from 0/7D0 to 0/BB8"],
    ["at the end", SUMMARIES.slice(0, 3), "from 0/BB8 to 0/DAC"],
    ["on this timeline", [...SUMMARIES.slice(0, 3), summary(3000, 4000, 2)], "from 0/BB8 to 0/DAC"],
    ["by one byte", [...SUMMARIES.slice(0, 3), summary(3001, 4000)], "from 0/BB8 to 0/BB9"],
  ])("%s", (_, summaries, gap) => {
    expect(reasonOf({ summaries })).toBe(`WAL summaries are missing ${gap}`);
  });

  test("between base and seal, when the snapshot lies before the seal", () => {
    const summaries = [summary(1000, 1400), summary(1400, 1600), summary(1700, 2000)];
    const reason = reasonOf({ now: { snapshotLsn: 1550n }, summaries });
    expect(reason).toBe("WAL summaries are missing between the parent's base and its seal");
  });
});

test("judgeRun() reads everything when the server is behind the parent", () => {
  expect(reasonOf({ now: { snapshotLsn: 1499n } })).toBe("the server is behind the parent: 0/5DC then, 0/5DB now");
  const older = "the snapshot is older than the parent's: xmin 750 then, 749 now";
  expect(reasonOf({ now: { xmin: 749n } })).toBe(older);
});

test("judgeRun() reads everything from a distrusted parent until --full", () => {
  const reason = reasonOf({ parent: { distrustedBecause: "a full read found other rows" } });
  expect(reason).toBe("nothing is taken over until a run with --full: a full read found other rows");
});

describe("judgeRun() reads everything when COPY may give another text:", () => {
  const settings = PARENT.text.settings;
  test.each<[string, Change, string]>([
    ["minor version", { now: { serverVersionNum: 180_007 } }, "another server version: 180006 then, 180007 now"],
    ["our readers", { text: { readerVersion: 2 } }, "this version of Cairn reads tables in another way"],
    ["segment size", { text: { segmentBlockCount: 256 } }, "segments of another size: 512 blocks then, 256 now"],
    ["another flag", { text: { selection: ["--schema=other"] } }, "another selection"],
    ["one flag more", { text: { selection: ["--schema=public", "-t", "a"] } }, "another selection"],
    [
      "a further setting",
      { text: { settings: { ...settings, xmlbinary: "hex" } } },
      "the setting xmlbinary is not known",
    ],
    ["--enable-row-security", { text: { selection: ["--enable-row-security"] } }, "row_security is not off now"],
    [
      "row_security then",
      { textThen: { settings: { ...settings, row_security: "on" } } },
      "row_security is not off when",
    ],
  ])("%s", (_, change, reason) => {
    expect(reasonOf(change)).toMatch(reason);
  });

  test("row_security on at both", () => {
    const on = { settings: { ...settings, row_security: "on" } };
    expect(reasonOf({ textThen: on, text: on })).toMatch("row_security is not off");
    const enabled = { selection: ["--enable-row-security"] };
    expect(reasonOf({ textThen: enabled, text: enabled })).toMatch("row_security is not off");
  });

  test.each(TEXT_SETTINGS.filter((name) => name !== "row_security"))("%s", (name) => {
    const other = { settings: { ...settings, [name]: "x" } };
    expect(reasonOf({ text: other })).toBe(`another ${name}: "${settings[name]!}" then, "x" now`);
    const { [name]: _, ...without } = settings;
    expect(reasonOf({ text: { settings: without }, textThen: { settings: without } })).toMatch(
      "not known of both runs",
    );
  });
});

test("judgeDigest() tells summaries that say something else than they did", () => {
  expect(judgeDigest(PARENT, "ab".repeat(32))).toBeNull();
  expect(judgeDigest(PARENT, "cd".repeat(32))).toMatch("do not say what they said");
});

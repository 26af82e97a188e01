// What `cairn copy` chooses, in which order, and what it says; and the repositories that `cairn init --like` makes.

import { mkdirSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { createRepository } from "../../repository/index.ts";
import type { Repository } from "../../repository/index.ts";
import { makePair, openPlace, packsIn } from "../../repository/copy/copy.fixture.ts";
import type { Mode, Place } from "../../repository/copy/copy.fixture.ts";
import { packObjectName } from "../../repository/identifiers.ts";
import { backUp, changed, FACTS, temporaryFolder, TOC } from "../../repository/repository.fixture.ts";
import { openLocalStorage } from "../../storage/index.ts";
import { runInit } from "../init/index.ts";
import { runList } from "../list/index.ts";
import type { OperationContext, OperationEvent, RepositoryAccess } from "../operation.ts";
import { findAgain } from "./found-again.ts";
import { runCopy } from "./index.ts";
import type { CopyReport, CopySettings } from "./index.ts";

const nobody = (): Promise<string> => Promise.reject(new Error("nobody is there"));

function accessTo({ passphrase, path }: Place): RepositoryAccess {
  return { location: path, givenPassphrase: passphrase, askPassphrase: nobody };
}

function contextWith(events: OperationEvent[] = []): OperationContext {
  const surroundings = { environment: {}, homeDirectory: "/nonexistent", userName: "somebody" };
  return { ...surroundings, signal: new AbortController().signal, onEvent: (event) => events.push(event) };
}

class Bench implements AsyncDisposable {
  readonly events: OperationEvent[] = [];
  onEvent: (event: OperationEvent) => void = (event) => this.events.push(event);
  readonly #folder: AsyncDisposable & { readonly path: string };
  readonly from: Place;
  readonly to: Place;

  private constructor(
    folder: AsyncDisposable & { readonly path: string },
    pair: { readonly from: Place; readonly to: Place },
  ) {
    this.#folder = folder;
    this.from = pair.from;
    this.to = pair.to;
  }

  static async create(mode: Mode = "not alike"): Promise<Bench> {
    const folder = await temporaryFolder();
    return new Bench(folder, await makePair(folder.path, mode));
  }

  file(name: string): string {
    return join(this.#folder.path, name);
  }

  async copy(settings: Partial<CopySettings>): Promise<CopyReport> {
    return await runCopy(
      { ...contextWith(), onEvent: this.onEvent },
      {
        from: accessTo(this.from),
        to: accessTo(this.to),
        references: [],
        isAll: (settings.references ?? []).length === 0,
        last: null,
        tags: [],
        isDryRun: false,
        allowsUnencrypted: false,
        ...settings,
      },
    );
  }

  /** Ids and outcomes, in the order in which they were copied. */
  async outcomes(settings: Partial<CopySettings>): Promise<readonly (readonly [string, string])[]> {
    return (await this.copy(settings)).restorePoints.map(({ id, outcome }) => [id, outcome] as const);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** A backup of a lineage of that name. */
async function backUpLineage(
  repository: Repository,
  name: string,
  minute: number,
  tags: Readonly<Record<string, string>> = {},
): Promise<string> {
  const lineage = { ...FACTS.lineage, name };
  const facts = { lineage, snapshotAt: `2026-11-22T10:${String(minute).padStart(2, "0")}:00.000Z`, tags };
  return (await backUp(repository, { tables: { t: [`${name}\t${minute}\n`] }, facts })).id;
}

async function backUpCluster(repository: Repository, ids: readonly string[]): Promise<string> {
  const sums = { error: null, rowCount: 1, rawBytes: 1, sealedBytes: 1, newBytes: 1 };
  const members = ids.map((id) => ({ databaseName: "x", lineageName: "x", restorePointId: id, ...sums }));
  const lineage = { ...FACTS.lineage, name: "all", databaseOid: 0, databaseName: "*" };
  await using run = await repository.startRun({ kind: "cluster backup", lineageName: "all" });
  const data = { relations: [], largeObjects: [], toc: new Uint8Array() };
  const snapshotAt = "2026-11-22T10:00:30.000Z";
  return (await run.commit({ ...FACTS, lineage, snapshotAt, cluster: { members, leftOut: [] }, ...data })).id;
}

test("runCopy() copies what was named, oldest first, and a second time nothing", async () => {
  await using bench = await Bench.create("alike");
  const source = await openPlace(bench.from);
  const a = [
    await backUpLineage(source, "a", 1),
    await backUpLineage(source, "a", 3, { kind: "weekly" }),
    await backUpLineage(source, "a", 5),
  ];
  const b = [await backUpLineage(source, "b", 2), await backUpLineage(source, "b", 4, { kind: "daily" })];
  expect(await bench.outcomes({ isDryRun: true })).toEqual(
    [a[0], b[0], a[1], b[1], a[2]].map((id) => [id, "to be copied"]),
  );
  expect(await packsIn(bench.to)).toEqual(new Map());
  expect(await bench.outcomes({ last: 1, isDryRun: true })).toEqual([b[1], a[2]].map((id) => [id, "to be copied"]));
  const tags = [{ key: "kind", value: "weekly" }];
  expect(await bench.outcomes({ tags, isDryRun: true })).toEqual([[a[1], "to be copied"]]);
  expect(await bench.outcomes({ tags: [{ key: "kind", value: null }], isDryRun: true })).toHaveLength(2);
  expect(await bench.outcomes({ references: ["b", a[0]!], last: 1 })).toEqual([a[0], b[1]].map((id) => [id, "copied"]));
  expect(await bench.outcomes({ references: ["a@latest"] })).toEqual([[a[2], "copied"]]);
  const all = await bench.copy({});
  expect(all).toMatchObject({ isAlike: true, copiedCount: 2, alreadyThereCount: 3, failedCount: 0 });
  expect(all.movedPackCount + all.resealedChunkCount).toBe(2);
  const again = await bench.copy({});
  expect(again).toMatchObject({ copiedCount: 0, alreadyThereCount: 5, bytesWritten: 0, movedPackCount: 0 });
  const listed = await runList(contextWith(), { repository: accessTo(bench.to), lineage: null });
  expect(listed.restorePoints.map(({ id }) => id)).toEqual([a[2], b[1], a[1], b[0], a[0]]);
  expect(listed.restorePoints[0]?.copiedFrom).toMatchObject({ repositoryId: source.id, restorePointId: a[2] });
  await expect(bench.copy({ references: ["c"] })).rejects.toMatchObject({
    code: "restore_point_not_found",
    detail: "Its lineages are a, b.",
  });
});

test("runCopy() takes the databases of a cluster along, and the cluster after them", async () => {
  await using bench = await Bench.create();
  const source = await openPlace(bench.from);
  const members = [await backUpLineage(source, "x", 1), await backUpLineage(source, "y", 2)];
  const cluster = await backUpCluster(source, members);
  expect(cluster < members[0]!).toBe(true);
  const gone = await backUpCluster(source, [members[0]!, "20261122T100900Z-gggggggg"]);
  expect(await bench.outcomes({ references: [cluster] })).toEqual([...members, cluster].map((id) => [id, "copied"]));
  const report = await bench.copy({});
  expect(report.restorePoints.at(-1)).toMatchObject({ id: gone, outcome: "copied", isCluster: true });
  expect(report.warnings).toEqual([expect.stringContaining("20261122T100900Z-gggggggg")]);
});

test("runCopy() names what is damaged, and what needs that, and goes on with the others", async () => {
  await using bench = await Bench.create();
  const source = await openPlace(bench.from);
  const bad = await backUpLineage(source, "x", 1);
  for (const pack of (await packsIn(bench.from)).keys()) await rm(join(bench.from.path, packObjectName(pack)));
  const cluster = await backUpCluster(source, [bad]);
  const good = await backUpLineage(source, "y", 2);
  const report = await bench.copy({});
  expect(report).toMatchObject({ copiedCount: 1, failedCount: 2 });
  expect(report.restorePoints).toMatchObject([
    { id: bad, outcome: "failed", failure: expect.stringContaining("could not read") as string },
    { id: cluster, outcome: "failed", failure: `restore point ${bad}, which it names, could not be copied` },
    { id: good, outcome: "copied" },
  ]);
  expect(JSON.stringify(bench.events)).toContain(`could not copy ${bad}: `);
});

test("runCopy() names a manifest that is damaged, in the source or in the target", async () => {
  await using bench = await Bench.create();
  const source = await openPlace(bench.from);
  const ids = [await backUpLineage(source, "x", 1), await backUpLineage(source, "x", 2)];
  await bench.copy({ references: [ids[0]!] });
  for (const [place, id] of [[bench.from, ids[1]!] as const, [bench.to, ids[0]!] as const]) {
    for await (const { name } of openLocalStorage(place.path).list("backups/")) {
      if (!name.endsWith(id)) continue;
      await rm(join(place.path, name));
      await openLocalStorage(place.path).put(name, Buffer.from("CAIRNOBJ, but no manifest"));
    }
  }
  const { failedCount, restorePoints } = await bench.copy({});
  expect(failedCount).toBe(2);
  expect(restorePoints.map(({ failure, id }) => [id, failure])).toEqual([
    [ids[0], expect.stringContaining("has it already, but its manifest there cannot be read")],
    [ids[1], expect.stringContaining("could not read")],
  ]);
});

test("runCopy() refuses a repository as its own copy, and to leave the encryption unless told so", async () => {
  await using bench = await Bench.create();
  const source = await openPlace(bench.from);
  const id = await backUpLineage(source, "x", 1);
  await expect(bench.copy({ to: accessTo(bench.from) })).rejects.toMatchObject({ code: "usage" });
  const location = bench.file("clear");
  await createRepository(openLocalStorage(location), { encryption: { kind: "none" } });
  const to: RepositoryAccess = { location, givenPassphrase: null, askPassphrase: nobody };
  await expect(bench.copy({ to })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining("not encrypted") as string,
  });
  expect(await bench.outcomes({ to, allowsUnencrypted: true })).toEqual([[id, "copied"]]);
  // And back, where no permission is needed.
  expect(await bench.outcomes({ from: to })).toEqual([[id, "copied"]]);
  // One passphrase is never tried on the other repository.
  const wrong = { ...accessTo(bench.to), givenPassphrase: bench.from.passphrase };
  await expect(bench.copy({ to: wrong })).rejects.toMatchObject({ code: "wrong_key" });
});

test("runCopy() does not copy into a lineage whose backup is at work", async () => {
  await using bench = await Bench.create();
  const source = await openPlace(bench.from);
  const [x, y] = [await backUpLineage(source, "x", 1), await backUpLineage(source, "y", 2)];
  await using _ = await (await openPlace(bench.to)).startRun({ kind: "backup", lineageName: "x" });
  expect(await bench.outcomes({})).toEqual([
    [x, "failed"],
    [y, "copied"],
  ]);
});

test("runCopy() says that a restore point is there already only when nobody may withdraw it", async () => {
  await using bench = await Bench.create();
  const id = await backUpLineage(await openPlace(bench.from), "x", 1);
  let during: CopyReport | null = null;
  const storage = openLocalStorage(bench.to.path);
  const pausing = changed(storage, {
    read: async (name, ...rest) => {
      // Its manifest is there, and about to be read back.
      if (name.startsWith("backups/")) during = await bench.copy({});
      return await storage.read(name, ...rest);
    },
  });
  const to = await openPlace(bench.to, pausing);
  const { lineage } = FACTS;
  await using run = await to.startRun({ kind: "copy", lineageName: "else" });
  const from = { repositoryId: to.id, restorePointId: id, at: FACTS.startedAt };
  const snapshotAt = "2026-11-22T10:01:00.000Z";
  const copied = { id, finishedAt: FACTS.startedAt, from };
  const data = { relations: [], largeObjects: [], toc: TOC };
  await run.commit({ ...FACTS, lineage: { ...lineage, name: "x" }, snapshotAt, copied, ...data });
  expect(during).toMatchObject({ failedCount: 1, alreadyThereCount: 0 });
  expect(JSON.stringify(during)).toContain("may yet withdraw it");
  expect(await bench.outcomes({})).toEqual([[id, "already there"]]);
});

test("runCopy() looks at a manifest that another copy wrote meanwhile before it calls it there", async () => {
  await using bench = await Bench.create("alike");
  const source = await openPlace(bench.from);
  const id = await backUpLineage(source, "x", 1);
  let name = "";
  for await (const object of openLocalStorage(bench.from.path).list("backups/")) name = object.name;
  const path = join(bench.to.path, name);
  bench.onEvent = (event) => {
    if (event.type !== "phase" || event.phase !== "copy") return;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, "CAIRNOBJ, but no manifest");
  };
  expect(await bench.outcomes({})).toEqual([[id, "failed"]]);
});

test("findAgain() tells a restore point that is gone", async () => {
  await using bench = await Bench.create();
  const source = await openPlace(bench.from);
  const id = await backUpLineage(source, "x", 1);
  expect(await findAgain(source, id)).toMatchObject({ state: "there", summary: { id } });
  expect(await findAgain(await openPlace(bench.to), id)).toEqual({ state: "gone" });
});

test("runInit() with a repository to be like opens it, and refuses another encryption before anybody is asked", async () => {
  await using bench = await Bench.create();
  const like = accessTo(bench.from);
  const init = async (name: string, settings: object): Promise<unknown> => {
    const repository = { location: bench.file(name), givenPassphrase: null, askPassphrase: nobody };
    return await runInit(contextWith(), { repository, isEncrypted: true, like, ...settings });
  };
  const repository = { ...like, location: bench.file("new"), givenPassphrase: "a passphrase of its own" };
  const made = await init("new", { repository });
  expect(made).toMatchObject({
    isEncrypted: true,
    like: bench.from.path,
    repositoryId: (await openPlace(bench.from)).id,
  });
  await expect(init("x", { isEncrypted: false })).rejects.toThrow("one like it is encrypted too");
  await expect(init("x", { like: { ...like, givenPassphrase: "wrong" } })).rejects.toMatchObject({ code: "wrong_key" });
  const clear = { location: bench.file("clear"), givenPassphrase: null, askPassphrase: nobody };
  await init("clear", { like: undefined, isEncrypted: false });
  await expect(init("x", { like: clear })).rejects.toThrow("nor would one like it be");
  expect(await init("clear too", { like: clear, isEncrypted: false })).toMatchObject({ isEncrypted: false });
});

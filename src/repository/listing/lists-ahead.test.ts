// Listing ahead: what was listed is given out once and while it is fresh, in the order that a survey needs.

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { openLocalStorage } from "../../storage/index.ts";
import type { Storage } from "../../storage/index.ts";
import { changed, temporaryFolder } from "../repository.fixture.ts";
import { ListsAhead } from "./lists-ahead.ts";

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let plain: Storage;
/** Prefixes in the order in which their lists began. */
let begun: string[];
let ahead: ListsAhead;
beforeEach(async () => {
  folder = await temporaryFolder();
  plain = openLocalStorage(folder.path);
  for (const name of ["cairn.json", "packs/00/a", "backups/x/a", "marks/a/b"]) await plain.put(name, Buffer.from(name));
  begun = [];
  ahead = new ListsAhead(
    changed(plain, {
      list: (prefix, signal) => {
        begun.push(prefix);
        return plain.list(prefix, signal);
      },
    }),
  );
});
afterEach(async () => {
  vi.restoreAllMocks();
  await folder[Symbol.asyncDispose]();
});

async function names(prefix: string, signal?: AbortSignal): Promise<string[]> {
  const found: string[] = [];
  for await (const { name } of ahead.list(prefix, signal)) found.push(name);
  return found;
}

/** Until all lists have begun: the last one begins when packs and runs have been read. */
async function allBegun(): Promise<void> {
  await vi.waitFor(() => expect(begun).toHaveLength(4));
}

test("ListsAhead begins when something was read, and lists packs, then runs, then manifests", async () => {
  await ahead.head("cairn.json");
  expect(begun).toEqual([]);
  await ahead.read("cairn.json");
  await allBegun();
  expect(begun.filter((prefix) => prefix !== "marks/")).toEqual(["packs/", "runs/", "backups/"]);
  await plain.put("packs/00/b", Buffer.from("later"));
  expect(await names("packs/")).toEqual(["packs/00/a"]);
  expect(await names("backups/")).toEqual(["backups/x/a"]);
  expect(await names("marks/")).toEqual(["marks/a/b"]);
  expect(begun).toHaveLength(4);
  // Given out once.
  expect(await names("packs/")).toEqual(["packs/00/a", "packs/00/b"]);
});

test("ListsAhead leaves manifests until they are asked for while there are runs, whose records are read first", async () => {
  await plain.put("runs/r/00000000", Buffer.from("at work"));
  await ahead.read("cairn.json");
  expect(await names("runs/")).toEqual(["runs/r/00000000"]);
  await plain.put("backups/x/b", Buffer.from("committed since"));
  expect(await names("backups/")).toEqual(["backups/x/a", "backups/x/b"]);
});

test("ListsAhead lists again what has waited too long", async () => {
  await ahead.read("cairn.json");
  await allBegun();
  await plain.put("packs/00/b", Buffer.from("later"));
  const now = performance.now();
  vi.spyOn(performance, "now").mockReturnValue(now + 11_000);
  expect(await names("packs/")).toEqual(["packs/00/a", "packs/00/b"]);
});

test("ListsAhead tells a failure to who asks for that list, and ends when nobody waits any longer", async () => {
  const never = new Promise<never>(() => undefined);
  ahead = new ListsAhead(
    changed(plain, {
      list: async function* (prefix, signal) {
        if (prefix === "packs/") throw new Error("no packs today");
        if (prefix !== "marks/") return;
        const aborted = Promise.withResolvers<never>();
        signal?.addEventListener("abort", () => aborted.reject(signal.reason));
        await Promise.race([never, aborted.promise]);
        yield* [];
      },
    }),
  );
  await ahead.read("cairn.json");
  await expect(names("packs/")).rejects.toThrow("no packs today");
  await expect(names("backups/")).rejects.toThrow("no packs today");
  const end = new AbortController();
  const waiting = names("marks/", end.signal);
  end.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

// Marks of drills: what was written is read, in order, and only the restore point's own.

import { readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openLocalStorage } from "../storage/index.ts";
import { openRepository } from "./index.ts";
import { backUp, PASSPHRASE, smallRepository, temporaryFolder } from "./repository.fixture.ts";

test("markDrilled() keeps what drills() reads, oldest first", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path), true);
  await backUp(repository, { tables: { orders: ["1\n"] } });
  const id = await repository.resolve("latest");
  expect(await repository.drills(id)).toEqual([]);
  const facts = { restorePointId: id, serverVersion: "18.6", restoreDurationMs: 5, notCompared: [] };
  await repository.markDrilled({ ...facts, outcome: "passed", differenceCount: 0, differences: [] });
  const differences = Array.from({ length: 300 }, (_, index) => `table t${index} is missing`);
  await repository.markDrilled({ ...facts, outcome: "failed", differenceCount: 300, differences });
  const reopened = await openRepository(openLocalStorage(folder.path), { passphrase: PASSPHRASE });
  const marks = await reopened.drills(id);
  expect(marks.map(({ outcome }) => outcome)).toEqual(["passed", "failed"]);
  expect(marks[1]).toMatchObject({ ...facts, differenceCount: 300, differences: differences.slice(0, 100) });
  expect(await reopened.verifies(id)).toEqual([]);
});

test("drills() refuses a mark of failure that was renamed to one of success", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path), false);
  await backUp(repository, { tables: { orders: ["1\n"] } });
  const id = await repository.resolve("latest");
  await repository.markDrilled({
    restorePointId: id,
    outcome: "failed",
    serverVersion: "18.6",
    restoreDurationMs: 5,
    differenceCount: 1,
    differences: ["a row is missing"],
    notCompared: [],
  });
  const marks = join(folder.path, "marks", id);
  const [name = ""] = await readdir(marks);
  expect(name).toMatch(/^drill-failed-/);
  await rename(join(marks, name), join(marks, name.replace("drill-failed-", "drill-")));
  await expect(repository.drills(id)).rejects.toMatchObject({ code: "corrupt" });
});

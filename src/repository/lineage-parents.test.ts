import { expect, test } from "vitest";

import { openLocalStorage } from "../storage/index.ts";
import { openRepository } from "./index.ts";
import { backUp, FACTS, PASSPHRASE, smallRepository, temporaryFolder } from "./repository.fixture.ts";

test("Repository.foreseeLineage() reads the parent, and continueLineage() then does not read it again", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const first = await backUp(repository, { tables: {} });
  await repository.foreseeLineage(FACTS.lineage);
  const { bytesRead } = repository.transfer;
  const { parent, warnings } = await repository.continueLineage(FACTS.lineage);
  expect({ id: parent?.id, warnings }).toEqual({ id: first.id, warnings: [] });
  expect(repository.transfer.bytesRead).toBe(bytesRead);
  expect((await repository.continueLineage(FACTS.lineage)).parent?.id).toBe(first.id);
  expect(repository.transfer.bytesRead).toBeGreaterThan(bytesRead);
});

test("Repository.continueLineage() gives what is newest, whatever was foreseen", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  await using elsewhere = await openRepository(openLocalStorage(folder.path), { passphrase: PASSPHRASE });
  await repository.foreseeLineage(FACTS.lineage);
  const first = await backUp(elsewhere, { tables: {} });
  expect((await repository.continueLineage(FACTS.lineage)).parent?.id).toBe(first.id);

  await repository.foreseeLineage(FACTS.lineage);
  const second = await backUp(elsewhere, { tables: {} });
  expect((await repository.continueLineage(FACTS.lineage)).parent?.id).toBe(second.id);

  await repository.foreseeLineage(FACTS.lineage);
  const moved = { ...FACTS.lineage, systemIdentifier: "7000000000000000001" };
  expect((await repository.continueLineage(moved)).parent).toBe(null);
});

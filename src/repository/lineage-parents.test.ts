import { chmod, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";

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

test("Repository.continueLineage() waits for what is being foreseen, and throws what that threw", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const first = await backUp(repository, { tables: {} });
  const foreseeing = repository.foreseeLineage(FACTS.lineage);
  expect((await repository.continueLineage(FACTS.lineage)).parent?.id).toBe(first.id);
  const { bytesRead } = repository.transfer;
  await foreseeing;
  expect(repository.transfer.bytesRead).toBe(bytesRead);

  const reason = new Error("given up");
  const given = repository.foreseeLineage(FACTS.lineage, AbortSignal.abort(reason));
  await expect(repository.continueLineage(FACTS.lineage)).rejects.toBe(reason);
  await expect(given).rejects.toBe(reason);
  expect((await repository.continueLineage(FACTS.lineage)).parent?.id).toBe(first.id);
});

test("Repository.continueLineage() opens again what could not be opened when it was foreseen", async () => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const first = await backUp(repository, { tables: {} });
  const manifests = join(folder.path, "backups");
  const [name] = (await readdir(manifests, { recursive: true })).filter((one) => one.includes(first.id));
  const path = join(manifests, name!);
  const content = await readFile(path);
  await chmod(path, 0o600);
  await writeFile(
    path,
    content.map((byte, index) => (index === content.length - 1 ? byte ^ 1 : byte)),
  );
  await repository.foreseeLineage(FACTS.lineage);
  await writeFile(path, content);
  expect((await repository.continueLineage(FACTS.lineage)).parent?.id).toBe(first.id);
});

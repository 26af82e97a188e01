// A manifest of which only the beginning can be read: who judges a restore point marks it damaged, and a list says so.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { backUp, PASSPHRASE, smallRepository, temporaryFolder } from "../repository/repository.fixture.ts";
import { openLocalStorage } from "../storage/index.ts";
import { runDrill } from "./drill/index.ts";
import { runList } from "./list/index.ts";
import type { OperationContext, RepositoryAccess } from "./operation.ts";
import { runVerify } from "./verify/index.ts";

const CONTEXT: OperationContext = {
  signal: new AbortController().signal,
  environment: {},
  homeDirectory: "/",
  userName: "nobody",
  onEvent: () => undefined,
};
const NO_SERVER = { on: null, assertions: [], evidence: null, jobs: null, pgDump: null };

test.each([
  [
    "verify",
    async (settings: { repository: RepositoryAccess; reference: string }) => await runVerify(CONTEXT, settings),
  ],
  ["drill", async (settings: { repository: RepositoryAccess; reference: string }) => await runDrill(CONTEXT, { ...NO_SERVER, ...settings })], // prettier-ignore
] as const)("%s marks a restore point whose manifest it cannot open", async (_, judge) => {
  await using folder = await temporaryFolder();
  const { repository } = await smallRepository(openLocalStorage(folder.path));
  const { id } = await backUp(repository, { tables: { orders: ["1\n"] } });
  const [lineageKey] = await readdir(join(folder.path, "backups"));
  const path = join(folder.path, "backups", lineageKey!, id);
  const bytes = await readFile(path);
  bytes[bytes.length - 200]! ^= 1;
  await writeFile(path, bytes);
  const access: RepositoryAccess = {
    location: folder.path,
    givenPassphrase: PASSPHRASE,
    askPassphrase: () => Promise.reject(new Error("nobody is asked")),
  };
  const listed = async () => (await runList(CONTEXT, { repository: access, lineage: null })).restorePoints;
  expect(await listed()).toMatchObject([{ id, isDamaged: false, verifiedAt: null }]);
  await expect(judge({ repository: access, reference: id })).rejects.toMatchObject({ code: "corrupt" });
  expect(await listed()).toMatchObject([{ id, isDamaged: true }]);
});

// The storage contract on a local folder, by path and by file: URI.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll } from "vitest";
import { openStorage } from "../../src/storage/index.ts";
import { describeStorage } from "./contract.ts";

const folder = mkdtempSync(join(tmpdir(), "cairn-contract-"));
afterAll(() => rmSync(folder, { recursive: true }));

describeStorage("local folder", {
  open: (place) => openStorage(pathToFileURL(join(folder, place)).href, { environment: {} }),
  hasAtomicUploads: true,
  manyNames: 1200,
  pageNames: 1,
});

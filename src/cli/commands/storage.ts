// cairn storage test: tries everything that Cairn needs of a storage.

import { OperatingError } from "../../base/errors.ts";
import type { StorageTestReport, StorageTestSettings } from "../../operations/storage-test/types.ts";
import { hasFlag } from "../command-line.ts";
import type { CommandLine } from "../command-line.ts";
import type { Caller } from "../caller.ts";
import { outputFlags, repositoryFlags } from "../common-flags.ts";
import { EXIT_DONE, EXIT_FAILED } from "../exit-status.ts";
import { renderStorageTest } from "../output/storage-test.ts";
import { repositoryAt, repositoryOf } from "../repository-access.ts";
import type { Verb } from "../verb.ts";

export const storage: Verb<StorageTestSettings, StorageTestReport> = {
  name: "storage",
  description:
    '"storage test" tries each right that Cairn needs of a storage: list, read, write, create only where nothing is, upload in parts, ' +
    "read a part, abort, delete. It writes below the prefix storage-test/ and removes that again. Exit status 1 when " +
    "anything failed; each failure is named with its cure.",
  arguments: [
    { name: "ACTION", description: "test", isRequired: true },
    { name: "URI", description: "folder or URI of the storage (default: the repository's)", isRequired: false },
  ],
  flags: [
    { long: "read-only", description: "try only what restore, list and verify need; nothing is written" },
    ...repositoryFlags.filter(({ long }) => long !== "passphrase-file" && long !== "identity"),
    ...outputFlags,
  ],
  examples: [
    "cairn storage test s3://my-bucket/cairn",
    'cairn storage test "s3://my-bucket/cairn?endpoint=https://minio.example:9000" --read-only',
  ],
  readSettings,
  run: async (context, settings) =>
    (await import("../../operations/storage-test/index.ts")).runStorageTest(context, settings),
  render: renderStorageTest,
  exitStatus: ({ isFit }) => (isFit ? EXIT_DONE : EXIT_FAILED),
};

function readSettings(line: CommandLine, caller: Caller): StorageTestSettings {
  const [action = "", uri] = line.arguments;
  if (action !== "test") {
    throw new OperatingError("usage", `"storage" has no action "${action}"`, {
      hint: 'The only one is "storage test".',
    });
  }
  const location = uri === undefined ? repositoryOf(line, caller) : repositoryAt(uri, line, caller);
  return { location, isReadOnly: hasFlag(line, "read-only") };
}

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

import { expandFilterFiles } from "./filter-flags.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "cairn-filter-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function expand(text: string | Uint8Array): Promise<string[]> {
  const path = join(folder, "filter");
  await writeFile(path, text);
  const flags = await expandFilterFiles([
    { name: "no-owner", value: null },
    { name: "filter", value: path },
    { name: "schema", value: "last" },
  ]);
  return flags.slice(1, -1).map(({ name, value }) => `--${name}=${value}`);
}

test("expandFilterFiles() gives the flag of every kind that pg_dump knows", async () => {
  const text = `
# a remark
include extension hstore
include foreign_data some*
INCLUDE Schema s   # another
include table s . t
include table_and_children "A b"."c""d"
exclude extension x
exclude schema s2
exclude table t*
exclude table_and_children t
exclude table_data pg_*
exclude table_data_and_children "line
end"
`;
  expect(await expand(text)).toEqual([
    "--extension=hstore",
    "--include-foreign-data=some*",
    "--schema=s",
    "--table=s.t",
    '--table-and-children="A b"."c""d"',
    "--exclude-extension=x",
    "--exclude-schema=s2",
    "--exclude-table=t*",
    "--exclude-table-and-children=t",
    "--exclude-table-data=pg_*",
    '--exclude-table-data-and-children="line\nend"',
  ]);
});

test.each([
  ["include schema a\nkeep table b\n", /line 2: invalid filter command .* of ".*filter"$/],
  ["\n\ninclude\n", /line 3: missing filter object type/],
  ["include table\n", /line 1: missing object name pattern/],
  ["exclude view v\n", /line 1: unsupported filter object type: "view"/],
  ["include table_data t\n", /line 1: include filter for "table data" is not allowed/],
  ["exclude foreign_data t\n", /line 1: exclude filter for "foreign data" is not allowed/],
  ["include trigger t\n", /line 1: include filter for "trigger" is not allowed/],
  ['include table "never ended\n', /unexpected end of file/],
  [Uint8Array.of(0xff, 0xfe), /it is not UTF-8 text/],
])("expandFilterFiles() refuses %j", async (text, message) => {
  await expect(expand(text)).rejects.toMatchObject({ code: "usage", message: expect.stringMatching(message) });
});

test("expandFilterFiles() refuses a missing file, a folder, and standard input", async () => {
  for (const value of [join(folder, "missing"), folder, "-", ""]) {
    await expect(expandFilterFiles([{ name: "filter", value }])).rejects.toMatchObject({ code: "usage" });
  }
});

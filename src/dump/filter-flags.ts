// A --filter file as the flags that mean the same: the bundled pg_dump sees no disk, and installed ones before 17 have
// no --filter. The file is read here, once.
// Source: PostgreSQL manual (18), "pg_dump", --filter; pg_dump.c, read_dump_filters.

import { open } from "node:fs/promises";

import { filterNotAllowed, parseFilterItems, type FilterItem } from "../archive/index.ts";
import { OperatingError } from "../base/errors.ts";
import { formatSize, MIB } from "../base/units.ts";
import type { SelectionFlag } from "./selection-flags.ts";

const FILTER_FILE_SIZE_BYTES_MAX = 4 * MIB;

const FLAG_NAMES: Readonly<Record<FilterItem["command"], Partial<Record<FilterItem["kind"], string>>>> = {
  include: {
    extension: "extension",
    foreign_data: "include-foreign-data",
    schema: "schema",
    table: "table",
    table_and_children: "table-and-children",
  },
  exclude: {
    extension: "exclude-extension",
    schema: "exclude-schema",
    table: "exclude-table",
    table_and_children: "exclude-table-and-children",
    table_data: "exclude-table-data",
    table_data_and_children: "exclude-table-data-and-children",
  },
};

/** The flags with each --filter replaced by what its file says. Throws "usage" with file and line. */
export async function expandFilterFiles(flags: readonly SelectionFlag[]): Promise<SelectionFlag[]> {
  const expanded: SelectionFlag[] = [];
  for (const flag of flags) {
    if (flag.name !== "filter") expanded.push(flag);
    else expanded.push(...filterFlags(await readFilterFile(flag.value ?? ""), flag.value ?? ""));
  }
  return expanded;
}

function filterFlags(text: string, path: string): SelectionFlag[] {
  try {
    return parseFilterItems(text).map((item) => {
      const name = FLAG_NAMES[item.command][item.kind];
      if (name === undefined) throw filterNotAllowed(item);
      return { name, value: item.pattern };
    });
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    throw new OperatingError(error.code, `${error.message} of "${path}"`, {
      hint: "A line is: include or exclude, a kind of object as pg_dump's manual lists them under --filter, a pattern.",
    });
  }
}

async function readFilterFile(path: string): Promise<string> {
  if (path === "-") {
    throw new OperatingError("usage", "a filter cannot be read from standard input", {
      hint: "Write it to a file and name that with --filter.",
    });
  }
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    if (size <= FILTER_FILE_SIZE_BYTES_MAX)
      return new TextDecoder("utf-8", { fatal: true }).decode(await file.readFile());
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = code === "ERR_ENCODING_INVALID_ENCODED_DATA" ? "it is not UTF-8 text" : message;
    throw new OperatingError("usage", `could not read filter file "${path}": ${reason}`, { cause: error });
  }
  throw new OperatingError("usage", `filter file "${path}" is larger than ${formatSize(FILTER_FILE_SIZE_BYTES_MAX)}`);
}

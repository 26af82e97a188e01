// The second backup of a database in which little changed stores little, and its restore point is as whole as the first.

import { expect, test } from "vitest";

import { compareDatabases, formatDifferences } from "../support/compare.ts";
import { clientTools, server, type Major, type TestDatabase } from "../support/servers.ts";
import { isFullMatrix, isNamedError, stockRestore, TestRepository } from "./support.ts";

const ROW_COUNT = 300_000;
/** Of the first backup's bytes, with 1 % of rows appended; before 14 a table's last chunk is a whole one of 2 MiB of text. */
function storedShareMax(major: Major): number {
  return major < 14 ? 0.05 : 0.03;
}

/** Rows that do not compress away, so that bytes stored tell what was stored. */
const events = `
  CREATE TABLE events (id int PRIMARY KEY, at timestamptz, who text, what jsonb);
  CREATE TABLE still (id int PRIMARY KEY, word text);
  INSERT INTO still SELECT i, md5(i::text) FROM generate_series(1, 20000) i;
  SELECT lo_from_bytea(70000 + i, convert_to(repeat(md5(i::text), 1 + i), 'UTF8')) FROM generate_series(1, 300) i;
  SELECT lo_from_bytea(80000, (SELECT string_agg(sha256(i::text::bytea), '') FROM generate_series(1, 200000) i));`;

function append(first: number, last: number): string {
  return `INSERT INTO events SELECT i, '2026-01-01Z'::timestamptz + i * interval '7 s', md5(i::text) || md5((i + 1)::text),
    jsonb_build_object('k', md5((i * 3)::text), 'n', i % 1000) FROM generate_series(${first}, ${last}) i;`;
}

async function expectEqual(source: TestDatabase, copy: TestDatabase): Promise<void> {
  const { differences, counts } = await compareDatabases(source, copy);
  expect(formatDifferences(differences)).toBe("");
  expect(counts).toMatchObject({ rows: 2, "large object": 301 });
}

test.each(isFullMatrix ? ([13, 14, 15, 16, 17, 18] as const) : ([18] as const))(
  "backup on PostgreSQL %i stores what changed",
  async (major) => {
    const pg = await server(major);
    await using repository = await TestRepository.create();
    await using source = await pg.createDatabase();
    await source.psql(events + append(1, ROW_COUNT));
    const first = await repository.backup(source.uri);
    expect(first).toMatchObject({ parentId: null, reusedBytes: 0, largeObjectCount: 301 });

    await using asItWas = await pg.createDatabase();
    await repository.restore(first.id, asItWas.uri);
    await expectEqual(source, asItWas);

    const unchanged = await repository.backup(source.uri);
    expect(unchanged.parentId).toBe(first.id);
    expect(unchanged.newBytes).toBeLessThan(first.newBytes * 0.01);
    expect(unchanged).toMatchObject({ rowCount: first.rowCount, rawBytes: first.rawBytes, largeObjectCount: 301 });

    await source.psql(append(ROW_COUNT + 1, ROW_COUNT * 1.01));
    const second = await repository.backup(source.uri);
    expect(second.parentId).toBe(unchanged.id);
    process.stdout.write(`second backup on ${major}: ${second.newBytes} of ${first.newBytes} bytes stored\n`);
    expect(second.newBytes).toBeLessThan(first.newBytes * storedShareMax(major));
    expect(second.rowCount).toBe(first.rowCount + ROW_COUNT * 0.01);

    await source.psql(
      "SELECT lo_put(70007, 3, 'changed'::bytea); SELECT lo_put(80000, 0, 'changed'::bytea); DELETE FROM still WHERE id = 5",
    );
    const third = await repository.backup(source.uri);
    expect(third.reusedBytes).toBeGreaterThan(0);

    await using copy = await pg.createDatabase();
    expect(await repository.restore(third.id, copy.uri)).toMatchObject({ isComplete: true, entriesFailed: [] });
    await expectEqual(source, copy);
    await using stock = await pg.createDatabase();
    const { file } = await repository.export(third.id, "third");
    const { status, errors } = await stockRestore(await clientTools(major), file, stock.uri, ["-j2"]);
    expect(errors.filter((error) => !isNamedError(error, major))).toEqual([]);
    expect(status).toBe(errors.length === 0 ? 0 : 1);
    await expectEqual(source, stock);

    await using again = await pg.createDatabase();
    await repository.restore(first.id, again.uri);
    await expectEqual(asItWas, again);
    for (const { id } of (await repository.list()).restorePoints)
      expect(await repository.verify(id)).toMatchObject({ isIntact: true });
  },
);

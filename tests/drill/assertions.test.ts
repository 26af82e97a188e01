// Assertions that say more than one query, or leave something behind: they are not true, and harm nothing.

import { expect, test } from "vitest";

import { runAssertions } from "../../src/operations/drill/assertions.ts";
import { TestRepository } from "../matrix/support.ts";
import { resolveConnection } from "../../src/postgres/index.ts";
import { server } from "../support/servers.ts";

test("an assertion is one query, alone in its transaction, which is read-only", async () => {
  await using repository = await TestRepository.create({ isEncrypted: false });
  await using database = await (await server(18)).createDatabase();
  await database.psql("CREATE TABLE kept AS SELECT 1 AS id");
  const context = repository.context();
  const target = await resolveConnection({ ...context, source: database.uri });
  const problems = [
    ["SELECT false; SELECT true", /multiple commands/],
    ["COMMIT; DELETE FROM kept; SELECT true", /multiple commands/],
    ["SET search_path = pg_catalog", /gives 0 rows/],
    ["COMMIT", /gives 0 rows/],
    ["WITH gone AS (DELETE FROM kept RETURNING id) SELECT true FROM gone", /read-only transaction/],
    ["SELECT set_config('search_path', 'pg_catalog', false) IS NOT NULL", null],
    ["SELECT count(*) = 1 FROM kept;", null],
    ["SELECT count(*) = 2 FROM kept", /it is false/],
    ["", /gives 0 rows/],
  ] as const;
  const results = await runAssertions(
    context,
    target,
    problems.map(([sql]) => sql),
  );
  for (const [index, [sql, problem]] of problems.entries()) {
    expect(results[index]?.sql).toBe(sql);
    expect(results[index]?.isTrue, sql).toBe(problem === null);
    if (problem !== null) expect(results[index]?.problem).toMatch(problem);
  }
});

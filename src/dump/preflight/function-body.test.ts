import { expect, test } from "vitest";

import { namesInBody } from "./function-body.ts";

const named = (source: string): string[] =>
  namesInBody(source).map(({ kind, schema, name }) => `${kind} ${schema === null ? "" : `${schema}.`}${name}`);

test.each([
  [" BEGIN RETURN norm(t) IS NOT NULL; END ", ["function norm"]],
  ["SELECT EXISTS (SELECT FROM torture.zz WHERE id = i)", ["function exists", "relation torture.zz"]],
  ['SELECT x FROM ONLY a JOIN "B c"."d""e" ON true', ["relation a", 'relation B c.d"e']],
  ["-- f(x)\nSELECT /* g(x) */ 'h(x)', $q$ i(x) $q$, E'\\'j(x)'", []],
  ["SELECT $1::mood, s.f(2)::s.kind", ["type mood", "function s.f", "type s.kind"]],
  ["WITH q AS (SELECT 1) SELECT FROM q", ["function as"]],
  ["SELECT a IS DISTINCT FROM b", []],
  ["INSERT INTO log (a) VALUES (1)", ["relation log", "function values"]],
  ["SELECT count INTO total FROM f(1)", ["function f"]],
])("namesInBody(%j)", (source, names) => {
  expect(named(source)).toEqual(names);
});

test("namesInBody() is quick on hostile text", () => {
  for (const text of [
    "'".repeat(99_999),
    "$a$".repeat(33_333),
    '"'.repeat(99_999),
    "/*".repeat(49_999),
    "(".repeat(99_999),
  ]) {
    const start = performance.now();
    namesInBody(text);
    expect(performance.now() - start).toBeLessThan(3000);
  }
});

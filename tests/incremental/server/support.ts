// Sessions for the tests of what a server is asked.

import { expect } from "vitest";

import type { Answer, RelationShape } from "../../../src/incremental/index.ts";
import { readRelationShapes } from "../../../src/incremental/index.ts";
import type { Session } from "../../../src/postgres/index.ts";
import { openSession, resolveConnection } from "../../../src/postgres/index.ts";

export const signal = new AbortController().signal;

/** A session of our own on a test server. */
export async function sessionOn(source: string): Promise<Session> {
  const settings = await resolveConnection({ source, environment: {}, homeDirectory: "/nonexistent", userName: "x" });
  return openSession(settings);
}

/** What the server told; fails when it told nothing. */
export function known<T>(answer: Answer<T>): T {
  if (answer.kind === "unknown") expect.fail(answer.reason);
  return answer.value;
}

/** The shape of one table, by its qualified name. */
export async function shapeOf(session: Session, name: string): Promise<RelationShape> {
  const oid = Number((await session.query(`SELECT '${name}'::regclass::oid`)).value);
  const shapes = known(await readRelationShapes(session, [{ oid, blockCount: 7 }], signal));
  return shapes.get(oid)!;
}

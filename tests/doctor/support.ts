// Runs `cairn doctor` as an operation in a test, and finds its findings.

import { runDoctor } from "../../src/operations/doctor/index.ts";
import type { DoctorReport, DoctorSettings, Finding } from "../../src/operations/doctor/index.ts";
import type { OperationEvent } from "../../src/operations/operation.ts";
import { openSession, resolveConnection } from "../../src/postgres/index.ts";
import type { Session } from "../../src/postgres/index.ts";
import type { TestServer } from "../support/servers.ts";

/** Names that break what is quoted badly; the table's has 63 bytes. */
export const HOSTILE = {
  schema: `sch"e'ma\n$$ 😀 \\`,
  table: `ta"ble'\n;--\\ ${"é".repeat(21)}😀😀`,
  sequence: `se"q'\r\n$cairn$ \\`,
  role: `ro"le'\n$$ $cairn$ 😀`,
} as const;

/** Looks at a source. */
export function doctor(
  source: string,
  settings: Partial<DoctorSettings> = {},
  onEvent: (event: OperationEvent) => void = () => {},
): Promise<DoctorReport> {
  const context = {
    signal: new AbortController().signal,
    environment: { PATH: "/usr/bin:/bin" },
    homeDirectory: "/nonexistent",
    userName: "postgres",
    onEvent,
  };
  return runDoctor(context, { source, selection: [], pgDump: null, repository: null, ...settings });
}

/** The findings of a code. */
export function found(report: DoctorReport, code: string): readonly Finding[] {
  return report.findings.filter((finding) => finding.code === code);
}

/** Codes of a severity. */
export function codesOf(report: DoctorReport, severity: Finding["severity"]): string[] {
  return report.findings.filter((finding) => finding.severity === severity).map(({ code }) => code);
}

/** A session of our own on a test server. */
export async function sessionOn(source: string): Promise<Session> {
  const settings = await resolveConnection({
    source,
    environment: {},
    homeDirectory: "/nonexistent",
    userName: "postgres",
  });
  return await openSession(settings, { applicationName: "rival" });
}

/** A login role without privileges, dropped when disposed with all that was granted to it in the database. */
export async function plainRole(pg: TestServer, database: string, name: string): Promise<AsyncDisposable> {
  const quoted = `"${name.replaceAll('"', '""')}"`;
  await pg.psql(database, `CREATE ROLE ${quoted} LOGIN`);
  return {
    async [Symbol.asyncDispose]() {
      await pg.psql(database, `DROP OWNED BY ${quoted}; DROP ROLE ${quoted}`);
    },
  };
}

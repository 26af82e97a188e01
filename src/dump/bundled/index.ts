// The bundled pg_dump: PostgreSQL's own program as WebAssembly, for machines where none is installed.

export { type BundledMajor, bundledPgDumpVersions } from "./bundled-packages.ts";
export { type BundledPgDumpOptions, type PgDumpRun, runBundledPgDump } from "./run-bundled-pg-dump.ts";

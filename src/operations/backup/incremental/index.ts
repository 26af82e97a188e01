// Incremental reading as a backup does it.

export { IncrementalReading, type ReadingOutcome } from "./reading.ts";
export { ServerLife } from "./server-life.ts";
export { beginView } from "./server-view.ts";
export { READING_DEFAULTS, type ReadingFacts, type ReadingSettings } from "./types.ts";

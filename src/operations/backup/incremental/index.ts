// Incremental reading as a backup does it.

export { IncrementalReading, type ReadingOutcome } from "./reading.ts";
export { noteCheckpoint } from "./server-view.ts";
export { READING_DEFAULTS, type ReadingFacts, type ReadingSettings } from "./types.ts";

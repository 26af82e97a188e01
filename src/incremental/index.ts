// Incremental reading: what a run may take over from its parent without reading it (docs/formats/incremental.md).

export type * from "./types.ts";

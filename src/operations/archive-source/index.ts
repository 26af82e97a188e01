// Archives of pg_dump on disk, opened as contents.

export {
  openArchiveSource,
  openRestorableSource,
  type ArchiveSource,
  type PlainSource,
} from "./open-archive-source.ts";

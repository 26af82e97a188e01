// Takes apart pg_dump's `COPY name (columns) TO stdout;` and makes the statement that reads one range of blocks (pure).
// Names come quoted from pg_dump and are passed on as they stand.
// Source: pg_dump.c, dumpTableData_copy.

const PREFIX = "COPY ";
const SUFFIX = /\s+TO\s+stdout;?\s*$/i;

/** The parts of a plain COPY statement; `columns` is "" for a table without columns. */
export interface CopyStatementParts {
  readonly name: string;
  readonly columns: string;
}

/** Null when the statement is not of the plain form, e.g. `COPY (SELECT … WHERE …) TO stdout`. */
export function parseCopyStatement(statement: string): CopyStatementParts | null {
  const suffix = SUFFIX.exec(statement);
  if (!statement.startsWith(PREFIX) || suffix === null) return null;
  const middle = statement.slice(PREFIX.length, suffix.index);
  if (middle.startsWith("(")) return null;
  const nameEnd = endOfQualifiedName(middle);
  if (nameEnd === 0) return null;
  const rest = middle.slice(nameEnd).trim();
  if (rest === "") return { name: middle.slice(0, nameEnd), columns: "" };
  if (!rest.startsWith("(") || !rest.endsWith(")")) return null;
  return { name: middle.slice(0, nameEnd), columns: rest.slice(1, -1) };
}

/** The relation's name in `COPY name …` or `COPY (SELECT … FROM name …) TO stdout`; null in any other statement. */
export function relationOfCopy(statement: string): string | null {
  const plain = parseCopyStatement(statement);
  if (plain !== null) return plain.name;
  const columns = /^COPY \(SELECT (?:[^"\s]|"[^"]*"|\s(?!FROM\s))*\sFROM /.exec(statement);
  if (columns === null) return null;
  const rest = statement.slice(columns[0].length);
  return rest.slice(0, endOfQualifiedName(rest)) || null;
}

/** Length of the possibly quoted, possibly qualified name at the start of the text. */
function endOfQualifiedName(text: string): number {
  let position = 0;
  let quoted = false;
  for (; position < text.length; position += 1) {
    const character = text[position];
    if (character === '"') quoted = !quoted;
    else if (!quoted && (character === " " || character === "(")) break;
  }
  return quoted ? 0 : position;
}

/** Blocks from `firstBlock` up to, not including, `endBlock`; null is open. */
export interface BlockRange {
  readonly firstBlock: number;
  readonly endBlock: number | null;
}

/** The statement that reads the rows of one block range, in the order of the heap. */
export function copyRangeStatement(parts: CopyStatementParts, range: BlockRange): string {
  const lower = `ctid >= '(${range.firstBlock},0)'`;
  const upper = range.endBlock === null ? "" : ` AND ctid < '(${range.endBlock},0)'`;
  return `COPY (SELECT ${parts.columns} FROM ONLY ${parts.name} WHERE ${lower}${upper}) TO STDOUT`;
}

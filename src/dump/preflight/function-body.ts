// What the text of an SQL or PL/pgSQL function names: functions, relations and types, and whether with a schema (pure).
// A practical reading, not a parser: comments and strings are dropped, so names in dynamic SQL are not seen.

/** A name in a function's text. */
export interface NamedThing {
  readonly kind: "function" | "relation" | "type";
  readonly schema: string | null;
  readonly name: string;
}

const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|[eE]'(?:[^'\\]|\\[\s\S]|'')*'|'(?:[^']|'')*'|\$([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$[\s\S]*?\$\1\$|"(?:[^"]|"")+"|[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|::|[.(),;]|\S/g;

/** Texts longer than this are not read. */
const SOURCE_LENGTH_MAX = 100_000;

interface Token {
  readonly text: string;
  readonly isName: boolean;
  readonly isQuoted: boolean;
}

const NOT_RELATIONS = new Set(["select", "lateral", "only", "unnest", "generate_series", "values"]);

/** The names in a text, each once. */
export function namesInBody(source: string): NamedThing[] {
  if (source.length > SOURCE_LENGTH_MAX) return [];
  const tokens = tokenize(source);
  const localNames = queryNames(tokens);
  const found = new Map<string, NamedThing>();
  for (const [index, token] of tokens.entries()) {
    if (!token.isName || tokens[index - 1]?.text === ".") continue;
    const thing = nameAt(tokens, index);
    if (thing === null || (thing.schema === null && localNames.has(thing.name))) continue;
    found.set(JSON.stringify(thing), thing);
  }
  return [...found.values()];
}

function nameAt(tokens: readonly Token[], index: number): NamedThing | null {
  const isQualified = tokens[index + 1]?.text === "." && tokens[index + 2]?.isName === true;
  const last = isQualified ? index + 2 : index;
  const named = { schema: isQualified ? tokens[index]!.text : null, name: tokens[last]!.text };
  if (tokens[index - 1]?.text === "::") return { kind: "type", ...named };
  if (followsRelationKeyword(tokens, index)) {
    if (tokens[last + 1]?.text === "(" && !isInsert(tokens, index)) return { kind: "function", ...named };
    return tokens[last]!.isQuoted || !NOT_RELATIONS.has(named.name) ? { kind: "relation", ...named } : null;
  }
  return tokens[last + 1]?.text === "(" ? { kind: "function", ...named } : null;
}

function isInsert(tokens: readonly Token[], index: number): boolean {
  return keywordAt(tokens, index - 1) === "into" && keywordAt(tokens, index - 2) === "insert";
}

function followsRelationKeyword(tokens: readonly Token[], index: number): boolean {
  const start = keywordAt(tokens, index - 1) === "only" ? index - 1 : index;
  const before = keywordAt(tokens, start - 1);
  if (before === "from") return keywordAt(tokens, start - 2) !== "distinct";
  if (before === "into") return isInsert(tokens, start);
  return before === "join" || before === "update";
}

function keywordAt(tokens: readonly Token[], index: number): string | null {
  const token = tokens[index];
  return token?.isName === true && !token.isQuoted ? token.text : null;
}

/** Names of WITH queries: `NAME AS (`, `NAME AS MATERIALIZED (`. */
function queryNames(tokens: readonly Token[]): Set<string> {
  const names = new Set<string>();
  for (const [index, token] of tokens.entries()) {
    if (!token.isName || keywordAt(tokens, index + 1) !== "as") continue;
    const next = tokens[index + 2]?.text;
    if (next === "(" || next === "materialized" || next === "not") names.add(token.text);
  }
  return names;
}

function tokenize(source: string): Token[] {
  const tokens: Token[] = [];
  for (const [text] of source.matchAll(TOKEN)) {
    if (/^(--|\/\*|[eE]?'|\$(\w|[\u0080-\uffff])*\$)/.test(text)) continue;
    if (text.startsWith('"') && text.length > 2) {
      tokens.push({ text: text.slice(1, -1).replaceAll('""', '"'), isName: true, isQuoted: true });
    } else {
      const isName = /^[A-Za-z_\u0080-\uffff]/.test(text);
      tokens.push({
        text: isName ? text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()) : text,
        isName,
        isQuoted: false,
      });
    }
  }
  return tokens;
}

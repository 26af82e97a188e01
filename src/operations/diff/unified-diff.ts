// The lines that two texts do not share, in the manner of `diff -u`: three lines of context, "-" and "+". Pure.
// Limits: beyond MATRIX_CELLS_MAX the differing middle is shown as replaced whole.

const CONTEXT_LINES = 3;
const MATRIX_CELLS_MAX = 4_000_000;

interface Line {
  readonly sign: " " | "-" | "+";
  readonly text: string;
}

/** The hunks, without a head for the files; "" when the texts are equal. */
export function unifiedDiff(before: string, after: string): string {
  if (before === after) return "";
  const lines = compareLines(linesOf(before), linesOf(after));
  return hunksOf(lines)
    .map(({ head, body }) => `${head}\n${body.map(({ sign, text }) => `${sign}${text}\n`).join("")}`)
    .join("");
}

function linesOf(text: string): readonly string[] {
  const lines = text.split("\n");
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

function compareLines(before: readonly string[], after: readonly string[]): Line[] {
  const shorter = Math.min(before.length, after.length);
  let start = 0;
  while (start < shorter && before[start] === after[start]) start += 1;
  let end = 0;
  while (end < shorter - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end += 1;
  const same = (text: string): Line => ({ sign: " ", text });
  return [
    ...before.slice(0, start).map(same),
    ...compareMiddles(before.slice(start, before.length - end), after.slice(start, after.length - end)),
    ...before.slice(before.length - end).map(same),
  ];
}

/** By the longest common subsequence. */
function compareMiddles(before: readonly string[], after: readonly string[]): Line[] {
  const removed = (text: string): Line => ({ sign: "-", text });
  const added = (text: string): Line => ({ sign: "+", text });
  const width = after.length + 1;
  if ((before.length + 1) * width > MATRIX_CELLS_MAX) return [...before.map(removed), ...after.map(added)];
  // lengths[i * width + j]: of the longest subsequence that before[i…] and after[j…] share.
  const lengths = new Uint32Array((before.length + 1) * width);
  for (let i = before.length - 1; i >= 0; i -= 1) {
    for (let j = after.length - 1; j >= 0; j -= 1) {
      const below = lengths[(i + 1) * width + j]!;
      const beside = lengths[i * width + j + 1]!;
      const both = lengths[(i + 1) * width + j + 1]! + 1;
      lengths[i * width + j] = before[i] === after[j] ? both : Math.max(below, beside);
    }
  }
  const lines: Line[] = [];
  let [i, j] = [0, 0];
  while (i < before.length && j < after.length) {
    if (before[i] === after[j]) {
      lines.push({ sign: " ", text: before[i]! });
      i += 1;
      j += 1;
    } else if (lengths[(i + 1) * width + j]! >= lengths[i * width + j + 1]!) {
      lines.push(removed(before[i]!));
      i += 1;
    } else {
      lines.push(added(after[j]!));
      j += 1;
    }
  }
  return [...lines, ...before.slice(i).map(removed), ...after.slice(j).map(added)];
}

interface Hunk {
  readonly head: string;
  readonly body: readonly Line[];
}

function hunksOf(lines: readonly Line[]): Hunk[] {
  const changed = lines.flatMap(({ sign }, index) => (sign === " " ? [] : [index]));
  const ranges: { start: number; end: number }[] = [];
  for (const index of changed) {
    const last = ranges.at(-1);
    const [start, end] = [Math.max(0, index - CONTEXT_LINES), Math.min(lines.length, index + CONTEXT_LINES + 1)];
    if (last !== undefined && start <= last.end) last.end = end;
    else ranges.push({ start, end });
  }
  return ranges.map(({ start, end }) => {
    const [preceding, body] = [lines.slice(0, start), lines.slice(start, end)];
    return { head: `@@ -${place(preceding, body, "+")} +${place(preceding, body, "-")} @@`, body };
  });
}

/** `line,count` on the side that lines of the other sign do not stand on. */
function place(preceding: readonly Line[], body: readonly Line[], other: "-" | "+"): string {
  const countOf = (lines: readonly Line[]): number => lines.filter(({ sign }) => sign !== other).length;
  const count = countOf(body);
  const first = countOf(preceding) + (count === 0 ? 0 : 1);
  return count === 1 ? `${first}` : `${first},${count}`;
}

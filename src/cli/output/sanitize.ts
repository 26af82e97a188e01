// Names in a database may hold anything but a zero byte, so also what a terminal obeys: escape sequences, carriage
// returns, marks that turn the writing direction. Nothing of that reaches a terminal; it is shown escaped instead.

// Controls (C0, DEL, C1), lone surrogates, line and paragraph separators, and invisible format characters except the
// two joiners, which scripts and emoji need.
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u200c\u200d])\p{Cf}/gu;

// Nearly all text; looked at first because it is told ten times as fast.
const PLAIN = /^[\u0020-\u007e]*$/;
const PLAIN_LINES = /^[\n\t\u0020-\u007e]*$/;

const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function escapeCharacter(character: string): string {
  const short = SHORT_ESCAPES[character];
  if (short !== undefined) return short;
  const code = character.codePointAt(0)!.toString(16);
  return code.length <= 2 ? `\\x${code.padStart(2, "0")}` : `\\u{${code}}`;
}

/** The text on one line, with everything that a terminal would obey shown as an escape: `\n`, `\x1b`, `\u{202e}`. */
export function sanitizeLine(text: string): string {
  return PLAIN.test(text) ? text : text.replaceAll(UNSAFE, escapeCharacter);
}

/** The same for text of several lines; line ends and tabs stay. */
export function sanitizeText(text: string): string {
  if (PLAIN_LINES.test(text)) return text;
  return text.replaceAll(UNSAFE, (character) =>
    character === "\n" || character === "\t" ? character : escapeCharacter(character),
  );
}

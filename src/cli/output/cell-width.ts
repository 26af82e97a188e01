// How many cells of a terminal a text takes: near enough for columns and for lines that must not wrap.
// Source: Unicode Standard Annex 11, "East Asian Width", its wide and full-width blocks.

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
const NARROW = /^[\u0020-\u007e]*$/;
const NO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;

/** Cells that the text takes on a terminal. */
export function cellWidth(text: string): number {
  if (NARROW.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += characterWidth(character);
  return width;
}

/** The text, cut so that it takes at most so many cells; a cut is shown by "…". */
export function cutToWidth(text: string, widthMax: number): string {
  if (cellWidth(text) <= widthMax) return text;
  let width = 0;
  let cut = "";
  for (const character of text) {
    width += characterWidth(character);
    if (width > widthMax - 1) break;
    cut += character;
  }
  return widthMax > 0 ? `${cut}…` : "";
}

function characterWidth(character: string): number {
  if (NO_WIDTH.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

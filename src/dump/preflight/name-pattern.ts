// psql's name patterns as regular expressions of the server (pure): `*` and `?`, double quotes, dots between the parts.
// Source: PostgreSQL manual, "psql", Patterns; patternToSQLRegex.

const REGEX_CHARACTERS = "|*+?()[]{}.^$\\";

/** The parts of a pattern, each an anchored regular expression: `Sales."Q*".x?` → ^(sales)$, ^(Q\*)$, ^(x.)$. */
export function patternToRegexes(pattern: string): string[] {
  const parts: string[] = [];
  let part = "";
  let isQuoted = false;
  const characters = Array.from(pattern);
  for (let index = 0; index < characters.length; index += 1) {
    const character = characters[index]!;
    if (character === '"') {
      if (isQuoted && characters[index + 1] === '"') {
        part += '"';
        index += 1;
      } else {
        isQuoted = !isQuoted;
      }
    } else if (!isQuoted && character === ".") {
      parts.push(part);
      part = "";
    } else {
      part += translate(character, isQuoted, characters[index + 1]);
    }
  }
  parts.push(part);
  return parts.map((text) => `^(${text})$`);
}

function translate(character: string, isQuoted: boolean, next: string | undefined): string {
  // A dollar sign is common in names and useless in the middle of a pattern, so it always stands for itself; an empty
  // pair of brackets too, since it is the name of an array type.
  if (character === "$") return "\\$";
  if (isQuoted) return REGEX_CHARACTERS.includes(character) ? `\\${character}` : character;
  if (character === "*") return ".*";
  if (character === "?") return ".";
  if (character === "[" && next === "]") return "\\[";
  return character.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}

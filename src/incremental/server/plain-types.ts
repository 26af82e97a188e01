// Base types whose text depends on nothing but their bytes and on settings that a run records (pure). All others make a
// relation be read each time: the text of an OID alias or of an ACL follows the names of other objects, that of money the
// operating system's locale, and what a type of somebody's own prints is what its function does today.

/** First OID that is not PostgreSQL's own. Source: transam.h, FirstNormalObjectId. */
const FIRST_USER_OID = 16_384;

const CHANGING_BUILT_IN_TYPES = new Set(["aclitem", "money"]);

/**
 * Extension → its base types whose output functions read their bytes only. Those of contrib change with the server's version,
 * which is recorded; pgvector prints the shortest decimals that give the same numbers. Not listed, so read each time: isn
 * (a setting, tables in its library), PostGIS (its library may change while server and extension version stay), all unknown ones.
 */
const EXTENSION_TYPES: ReadonlyMap<string, readonly string[]> = new Map([
  ["citext", ["citext"]],
  ["cube", ["cube"]],
  ["hstore", ["hstore"]],
  ["ltree", ["lquery", "ltree", "ltxtquery"]],
  ["seg", ["seg"]],
  ["vector", ["halfvec", "sparsevec", "vector"]],
]);

/** What the catalog says of one type. */
export interface TypeFacts {
  readonly oid: number;
  readonly name: string;
  /** pg_type.typtype */
  readonly kind: string;
  /** Null: belongs to none. */
  readonly extensionName: string | null;
  /** It has parts of its own that decide its text: an array's elements, which are types by themselves. */
  readonly isArray: boolean;
}

/** Why values of this type, by itself, may print differently though no block changed; null: they cannot. */
export function objectionToType({ oid, name, kind, extensionName, isArray }: TypeFacts): string | null {
  if (kind === "p") return `its columns reach the pseudo-type ${name}`;
  if (kind !== "b" || isArray) return null; // made of other types, which are looked at
  if (oid < FIRST_USER_OID) {
    const isChanging = name.startsWith("reg") || CHANGING_BUILT_IN_TYPES.has(name);
    return isChanging ? `the text of type ${name} depends on more than the stored value` : null;
  }
  if (extensionName === null) return `type ${name} is printed by a function that may change`;
  if (EXTENSION_TYPES.get(extensionName)?.includes(name) === true) return null;
  return `type ${name} of extension ${extensionName} is not known to print the same text for the same bytes`;
}

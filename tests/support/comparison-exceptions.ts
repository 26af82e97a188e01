// Differences that stock pg_dump and pg_restore make themselves, each by name with its reason. An exception is exact: it
// covers a difference only when both sides are equal once that one thing is taken away, or names its objects.

import type { ComparisonException, Difference } from "./compare.ts";
import type { Major } from "./server-packages.ts";

/** Which versions took part. */
export interface RoundTrip {
  readonly sourceMajor: Major;
  readonly targetMajor: Major;
  /** Major of the pg_dump that wrote the archive. */
  readonly toolsMajor: Major;
}

/** The exceptions that a round trip of the test databases with these versions needs. */
export function officialExceptions({ sourceMajor, targetMajor, toolsMajor }: RoundTrip): ComparisonException[] {
  const exceptions = [columnOrderOfChildren(["torture.inh_e"]), rowsOfEnumHashPartitions(["torture.part_hash"])];
  if (sourceMajor < 15 && toolsMajor >= 15) exceptions.push(aclOfSchemaPublic);
  if (toolsMajor < 15 && targetMajor >= 15) exceptions.push(ownerOfSchemaPublic, defaultAclOfSchemaPublic);
  if (toolsMajor < 18 && targetMajor >= 18) exceptions.push(subscriptionDefaults);
  if (sourceMajor < 14 && targetMajor >= 14) exceptions.push(multirangeNames);
  if (sourceMajor < 16 && targetMajor >= 16) exceptions.push(qualifiedColumnsInViews);
  if (sourceMajor < 17 && targetMajor >= 17) exceptions.push(maintainPrivilege);
  if (sourceMajor < 18 && targetMajor >= 18) exceptions.push(namesOfNotNullConstraints);
  return exceptions;
}

/** Children whose own columns came before the inherited ones get the parent's columns first. */
export function columnOrderOfChildren(tables: readonly string[]): ComparisonException {
  return {
    name: "column order of inheritance children",
    reason: "CREATE TABLE … INHERITS puts inherited columns first, whatever the order was",
    covers: (difference) =>
      tables.some((table) => difference.name === `TABLE ${table}`) &&
      equalAfter(difference, (text) => text.replaceAll(/,$/gm, "").split("\n").toSorted().join("\n")),
  };
}

/** Leaves of hash partitions on an enum; their root is compared. */
export function rowsOfEnumHashPartitions(roots: readonly string[]): ComparisonException {
  return {
    name: "rows of hash partitions on enum keys",
    reason: "an enum value hashes by its OID, which is another one after a restore: rows move between partitions",
    covers: ({ kind, name, left, right }) =>
      kind === "rows" &&
      left !== null &&
      right !== null &&
      roots.some((root) => name.startsWith(root) && /^\d+$/.test(name.slice(root.length))),
  };
}

const aclOfSchemaPublic: ComparisonException = {
  name: "ACL of schema public",
  reason: "its default changed in 15: a pg_dump of 15 or later writes the older server's default as explicit grants",
  covers: ({ kind, name, left }) => kind === "schema" && name === "ACL SCHEMA public" && left === null,
};

const defaultAclOfSchemaPublic: ComparisonException = {
  name: "default ACL of schema public",
  reason: "its default changed in 15: a pg_dump before 15 takes the older default as given, and the new one stays",
  covers: ({ kind, name, left, right }) =>
    kind === "schema" &&
    name === "ACL SCHEMA public" &&
    right === null &&
    /^\s*REVOKE USAGE ON SCHEMA public FROM PUBLIC;\s*GRANT ALL ON SCHEMA public TO PUBLIC;\s*(-- owner .*)?$/.test(
      left ?? "",
    ),
};

const ownerOfSchemaPublic: ComparisonException = {
  name: "owner of schema public",
  reason: "its default changed in 15: a pg_dump before 15 takes schema public, owner and comment, as given",
  covers: ({ kind, name, right }) =>
    kind === "schema" && (name === "SCHEMA public" || name === "COMMENT SCHEMA public") && right === null,
};

const subscriptionDefaults: ComparisonException = {
  name: "defaults of subscriptions",
  reason: "an older pg_dump leaves out what is its own default; 16 changed that of run_as_owner, 18 that of streaming",
  covers: (difference) =>
    difference.name.startsWith("SUBSCRIPTION ") &&
    equalAfter(difference, (text) => text.replaceAll(/, (streaming = (off|parallel)|run_as_owner = true)/g, "")),
};

const multirangeNames: ComparisonException = {
  name: "multirange names",
  reason: "a range type gets a multirange type from 14 on",
  covers: (difference) => equalAfter(difference, (text) => text.replaceAll(/^ {4}multirange_type_name = .*\n/gm, "")),
};

const qualifiedColumnsInViews: ComparisonException = {
  name: "qualified columns in views",
  reason: "from 16 on a server leaves the table's name out where a query reads one table",
  covers: (difference) =>
    /^(VIEW|MATERIALIZED VIEW|RULE|FUNCTION) /.test(difference.name) &&
    equalAfter(difference, (text) => text.replaceAll(/(?:"(?:[^"]|"")+"|[A-Za-z_][\w$]*)\.(?=["A-Za-z_])/g, "")),
};

const maintainPrivilege: ComparisonException = {
  name: "privilege MAINTAIN",
  reason: "new in 17: an owner who had all privileges of old has one less than ALL, or keeps it after REVOKE",
  covers: (difference) =>
    difference.name.startsWith("ACL ") &&
    equalAfter(difference, (text) =>
      text
        .replaceAll("SELECT,INSERT,REFERENCES,DELETE,TRIGGER,TRUNCATE,UPDATE", "ALL")
        .replaceAll(/^GRANT MAINTAIN ON .*\n/gm, "")
        .replaceAll(",MAINTAIN", ""),
    ),
};

const namesOfNotNullConstraints: ComparisonException = {
  name: "names of NOT NULL constraints",
  reason: "from 18 on NOT NULL is a constraint with a name, written where it is not the name that it would get",
  covers: (difference) =>
    equalAfter(difference, (text) => text.replaceAll(/ CONSTRAINT (?:"(?:[^"]|"")+"|\w+) NOT NULL/g, " NOT NULL")),
};

function equalAfter({ kind, left, right }: Difference, normalize: (text: string) => string): boolean {
  return kind === "schema" && left !== null && right !== null && normalize(left) === normalize(right);
}

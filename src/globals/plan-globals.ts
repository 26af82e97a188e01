// What has to be done on a target so that it has a source's globals. Pure. Roles and tablespaces that are there already are
// kept as they are, and what is different is told; nothing is ever dropped or changed. Order: roles, their settings,
// memberships, privileges on parameters, tablespaces.

import { quoteIdentifier, quoteLiteral } from "../postgres/index.ts";
import type { Globals, GlobalRole, GlobalTablespace, Membership, Setting } from "./globals.ts";
import { orderedMemberships } from "./membership-order.ts";
import {
  membershipStatement,
  noteStatements,
  parameterStatements,
  settingStatement,
  tablespaceStatements,
} from "./statements.ts";

/** Statements that belong together: after one of them failed, the rest is not tried. */
export interface GlobalsStep {
  /** For people: `role "app"`. */
  readonly subject: string;
  readonly statements: readonly string[];
}

export interface GlobalsPlan {
  readonly steps: readonly GlobalsStep[];
  /** What is there already and otherwise, a sentence each. */
  readonly differences: readonly string[];
  /** What the target cannot have as the source had it, a sentence each. */
  readonly adaptations: readonly string[];
}

export interface GlobalsPlanOptions {
  /** False: who restores is no superuser, and cannot grant in the name of others. */
  readonly isSuperuser: boolean;
  /** New places of tablespaces, by the old ones. */
  readonly tablespaceMapping: Readonly<Record<string, string>>;
}

const GRANT_OPTIONS_SINCE = 160_000;
const PARAMETER_ACLS_SINCE = 150_000;

/** Plans the globals of `source` for a server that has those of `target`. */
export function planGlobals(source: Globals, target: Globals, options: GlobalsPlanOptions): GlobalsPlan {
  const planner = new GlobalsPlanner(source, target, options);
  return planner.plan();
}

class GlobalsPlanner {
  readonly #source: Globals;
  readonly #target: Globals;
  readonly #options: GlobalsPlanOptions;
  readonly #steps: GlobalsStep[] = [];
  readonly #differences: string[] = [];
  readonly #adaptations: string[] = [];

  constructor(source: Globals, target: Globals, options: GlobalsPlanOptions) {
    this.#source = source;
    this.#target = target;
    this.#options = options;
  }

  plan(): GlobalsPlan {
    const there = new Map(this.#target.roles.map((role) => [role.name, role]));
    const fresh = this.#source.roles.filter(({ name }) => !there.has(name));
    for (const role of this.#source.roles) this.#planRole(role, there.get(role.name));
    for (const role of fresh) this.#planSettings(role);
    this.#planSettingsOfAll();
    this.#planMemberships(new Set(fresh.map(({ name }) => name)));
    this.#planParameters();
    this.#tellOfPasswords(fresh);
    for (const tablespace of this.#source.tablespaces) this.#planTablespace(tablespace);
    return { steps: this.#steps, differences: this.#differences, adaptations: this.#adaptations };
  }

  #planRole(role: GlobalRole, there: GlobalRole | undefined): void {
    if (there === undefined) {
      const statements = [createRole(role), ...noteStatements("ROLE", role, quoteIdentifier)];
      this.#steps.push({ subject: `role "${role.name}"`, statements });
      return;
    }
    const knowsPasswords = this.#source.passwords === "carried" && this.#target.passwords === "carried";
    const different = differencesOf(role, there, knowsPasswords);
    if (different.length > 0) this.#differ(`role "${role.name}"`, different);
  }

  /** Whoever carries no passwords makes roles that nobody can log in as by password. */
  #tellOfPasswords(fresh: readonly GlobalRole[]): void {
    const { passwords } = this.#source;
    const count = fresh.filter(({ canLogIn }) => canLogIn).length;
    if (passwords === "carried" || count === 0) return;
    const reason = passwords === "left out" ? "they were left out of the backup" : "the backup could not read them";
    const roles = count === 1 ? "1 role that may log in is" : `${count} roles that may log in are`;
    this.#adaptations.push(`${roles} made without a password: ${reason}`);
  }

  #differ(subject: string, different: readonly string[]): void {
    this.#differences.push(
      `${subject} is there already and is kept as it is; different there: ${different.join(", ")}`,
    );
  }

  #planSettings(role: GlobalRole): void {
    const subject = `ROLE ${quoteIdentifier(role.name)}`;
    for (const setting of role.settings) {
      const statements = [settingStatement(subject, setting, quoteIdentifier)];
      this.#steps.push({ subject: `setting ${setting[0]} of role "${role.name}"`, statements });
    }
  }

  #planSettingsOfAll(): void {
    const there = new Map(this.#target.settingsOfAll);
    for (const setting of this.#source.settingsOfAll) {
      const [name, value] = setting;
      const statements = [settingStatement("ROLE ALL", setting, quoteIdentifier)];
      if (!there.has(name)) this.#steps.push({ subject: `setting ${name} of all roles`, statements });
      else if (there.get(name) !== value) this.#differ(`setting ${name} of all roles`, ["its value"]);
    }
  }

  #planMemberships(fresh: ReadonlySet<string>): void {
    const pairOf = ({ role, member }: Membership): string => JSON.stringify([role, member]);
    const there = Map.groupBy(this.#target.memberships, pairOf);
    const grants = Map.groupBy(this.#source.memberships, pairOf);
    for (const original of orderedMemberships(this.#source)) {
      const membership = this.#fitting(original);
      const by = (grants.get(pairOf(original)) ?? []).length > 1 ? ` granted by "${original.grantor ?? ""}"` : "";
      const subject = `membership of "${membership.member}" in "${membership.role}"${by}`;
      if (fresh.has(membership.role) || fresh.has(membership.member)) {
        this.#steps.push({ subject, statements: [membershipStatement(membership, quoteIdentifier)] });
      } else this.#compareMembership(subject, membership, there.get(pairOf(membership)) ?? []);
    }
  }

  /** Tells what is otherwise of a membership of two roles that are kept. */
  #compareMembership(subject: string, membership: Membership, known: readonly Membership[]): void {
    const hasOptions = this.#target.serverVersionNum >= GRANT_OPTIONS_SINCE;
    // What a source of before 16 leaves open, a grant of its kind would make so.
    const inherits = membership.inherits ?? (hasOptions ? this.#inheritsByItself(membership.member) : null);
    const mayBeSet = membership.mayBeSet ?? (hasOptions ? true : null);
    const different = differencesOfMembership({ ...membership, inherits, mayBeSet }, known);
    if (different === null) this.#differences.push(`${subject} is not there, and both roles are kept as they are`);
    else if (different.length > 0) this.#differ(subject, different);
  }

  /** A membership as the target's version and bootstrap role take it. */
  #fitting(membership: Membership): Membership {
    const { serverVersionNum: sourceVersion, bootstrapRole } = this.#source;
    const targetVersion = this.#target.serverVersionNum;
    let { grantor, inherits, mayBeSet } = membership;
    if (grantor === bootstrapRole) grantor = this.#target.bootstrapRole;
    // Before 16 anybody could stand there as grantor; since then it must be one with ADMIN OPTION.
    const isUnchecked = sourceVersion < GRANT_OPTIONS_SINCE && targetVersion >= GRANT_OPTIONS_SINCE;
    if (isUnchecked || !this.#options.isSuperuser) grantor = null;
    if (targetVersion < GRANT_OPTIONS_SINCE && (inherits !== null || mayBeSet !== null)) {
      const isLost = mayBeSet === false || inherits !== this.#inheritsByItself(membership.member);
      if (isLost) {
        this.#adaptations.push(
          `membership of "${membership.member}" in "${membership.role}": INHERIT and SET options are left out, the target has none`,
        );
      }
      inherits = null;
      mayBeSet = null;
    }
    return { ...membership, grantor, inherits, mayBeSet };
  }

  #inheritsByItself(name: string): boolean {
    return this.#source.roles.find((role) => role.name === name)?.inherits ?? true;
  }

  #planParameters(): void {
    const there = new Map(this.#target.parameters.map(({ name, acl }) => [name, acl]));
    for (const parameter of this.#source.parameters) {
      const subject = `privileges on parameter ${parameter.name}`;
      const known = there.get(parameter.name);
      if (this.#target.serverVersionNum < PARAMETER_ACLS_SINCE) {
        this.#adaptations.push(`${subject}: left out, the target has none`);
      } else if (known === undefined) {
        const statements = parameterStatements(parameter, this.#source.bootstrapRole, quoteIdentifier);
        this.#steps.push({ subject, statements });
      } else if (JSON.stringify(known.items) !== JSON.stringify(parameter.acl.items)) {
        this.#differ(subject, ["who has them"]);
      }
    }
  }

  #planTablespace(original: GlobalTablespace): void {
    const location = this.#options.tablespaceMapping[original.location] ?? original.location;
    const tablespace = { ...original, location };
    const subject = `tablespace "${tablespace.name}"`;
    const known = this.#target.tablespaces.find(({ name }) => name === tablespace.name);
    if (known === undefined) {
      const allow = location === "" ? ["SET allow_in_place_tablespaces TO on"] : [];
      this.#steps.push({ subject, statements: [...allow, ...tablespaceStatements(tablespace, quoteIdentifier)] });
      return;
    }
    const compared = ["owner", "location", "options", "acl", "comment"] as const;
    const different = compared.filter((field) => JSON.stringify(known[field]) !== JSON.stringify(tablespace[field]));
    if (different.length > 0) this.#differ(subject, different);
  }
}

/** A new role; only what is not so by itself, which who is no superuser may not even say. */
function createRole(role: GlobalRole): string {
  const words = [
    ...(role.isSuperuser ? ["SUPERUSER"] : []),
    ...(role.inherits ? [] : ["NOINHERIT"]),
    ...(role.createsRoles ? ["CREATEROLE"] : []),
    ...(role.createsDatabases ? ["CREATEDB"] : []),
    ...(role.canLogIn ? ["LOGIN"] : []),
    ...(role.replicates ? ["REPLICATION"] : []),
    ...(role.bypassesRowSecurity ? ["BYPASSRLS"] : []),
    ...(role.connectionLimit === -1 ? [] : [`CONNECTION LIMIT ${role.connectionLimit}`]),
    ...(role.password === null ? [] : [`PASSWORD ${quoteLiteral(role.password)}`]),
    ...(role.validUntil === null ? [] : [`VALID UNTIL ${quoteLiteral(role.validUntil)}`]),
  ];
  return [`CREATE ROLE ${quoteIdentifier(role.name)}`, ...(words.length === 0 ? [] : ["WITH"]), ...words].join(" ");
}

/** Names of what differs; never values, of which one is the password. */
function differencesOf(role: GlobalRole, there: GlobalRole, knowsPasswords: boolean): string[] {
  const compared: readonly (readonly [string, keyof GlobalRole])[] = [
    ["SUPERUSER", "isSuperuser"],
    ["INHERIT", "inherits"],
    ["CREATEROLE", "createsRoles"],
    ["CREATEDB", "createsDatabases"],
    ["LOGIN", "canLogIn"],
    ["REPLICATION", "replicates"],
    ["BYPASSRLS", "bypassesRowSecurity"],
    ["CONNECTION LIMIT", "connectionLimit"],
    ["VALID UNTIL", "validUntil"],
    ["comment", "comment"],
    ...(knowsPasswords ? [["PASSWORD", "password"] as const] : []),
  ];
  const words = compared.flatMap(([word, field]) => (role[field] === there[field] ? [] : [word]));
  const settingsThere = new Map(there.settings);
  const isElsewise = ([name, value]: Setting): boolean => settingsThere.get(name) !== value;
  const names = [
    ...role.settings.filter(isElsewise).map(([name]) => name),
    ...there.settings.flatMap(([name]) => (role.settings.some((setting) => setting[0] === name) ? [] : [name])),
  ];
  return [...words, ...names.map((name) => `setting ${name}`)];
}

/** What differs of the most alike of the memberships that are there; null: none is there. */
function differencesOfMembership(membership: Membership, known: readonly Membership[]): readonly string[] | null {
  const { grantor, hasAdminOption, inherits, mayBeSet } = membership;
  const isOtherGrantor = (there: Membership): boolean => grantor !== null && grantor !== there.grantor;
  const differences = known.map((there) => [
    ...(isOtherGrantor(there) ? ["grantor"] : []),
    ...(hasAdminOption === there.hasAdminOption ? [] : ["ADMIN OPTION"]),
    ...(inherits === there.inherits ? [] : ["INHERIT"]),
    ...(mayBeSet === there.mayBeSet ? [] : ["SET"]),
  ]);
  const rankOf = (words: readonly string[]): number => words.length + (words[0] === "grantor" ? 10 : 0);
  return differences.toSorted((one, other) => rankOf(one) - rankOf(other))[0] ?? null;
}

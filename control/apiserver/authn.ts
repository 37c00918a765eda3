/**
 * Authentication: who a client is, by its certificate or its token.
 *
 *   Credentials ─▶ authenticators, in order ─▶ User, or 401
 */
import { timingSafeEqual } from "node:crypto";
import { StatusError } from "#api/status.ts";
import type { Credentials } from "./exchange.ts";
import type { User } from "./registry.ts";
import { serviceAccountGroups } from "./service-account-tokens.ts";

/** The user behind the credentials; undefined when they are not of this sort. */
export type Authenticator = (credentials: Credentials) => User | undefined;

/** What every authenticated user is in. */
const authenticatedGroup = "system:authenticated";

/** The first answer of `authenticators`, else 401. */
export function authenticate(authenticators: readonly Authenticator[], credentials: Credentials): User {
  for (const authenticator of authenticators) {
    const user = authenticator(credentials);
    if (user !== undefined) return withAuthenticated(user);
  }
  throw new StatusError("Unauthorized", "Unauthorized");
}

/** The user, in the group of all that are known. */
export function withAuthenticated(user: User): User {
  return { ...user, groups: [...user.groups.filter((group) => group !== authenticatedGroup), authenticatedGroup] };
}

/** Whom a request wants to be taken for: Impersonate-User, Impersonate-Group. */
export interface Impersonation {
  readonly user: string;
  readonly groups: readonly string[];
}

const serviceAccountPrefix = "system:serviceaccount:";

/** The user that a request acts as. Throws Forbidden unless `user` may do everything anyway. */
export function impersonate(user: User, wanted: Impersonation | undefined): User {
  if (wanted === undefined) return user;
  if (!user.groups.includes("system:masters"))
    throw new StatusError(
      "Forbidden",
      `users ${JSON.stringify(wanted.user)} is forbidden: User ${JSON.stringify(user.name)} cannot impersonate resource "users" in API group "" at the cluster scope`,
      { name: wanted.user, group: "", kind: "users" },
    );
  if (wanted.user === "") throw new StatusError("BadRequest", "requested groups without impersonating a user");
  const { user: name, groups } = wanted;
  const [namespace, account] = name.startsWith(serviceAccountPrefix)
    ? name.slice(serviceAccountPrefix.length).split(":")
    : [];
  const own = namespace === undefined || account === undefined ? [] : serviceAccountGroups(namespace);
  return withAuthenticated({ name, groups: groups.length === 0 ? own : groups });
}

/** TLS client certificates: the common name is the user, the organizations are the groups. */
export const clientCertificates: Authenticator = ({ certificate }) =>
  certificate === undefined || certificate.commonName === ""
    ? undefined
    : { name: certificate.commonName, groups: certificate.organizations };

/** Bearer tokens from a table. */
export function bearerTokens(users: ReadonlyMap<string, User>): Authenticator {
  const known = [...users].map(([token, user]) => ({ token: Buffer.from(token), user }));
  return ({ authorization = "" }) => {
    const sent = Buffer.from(/^Bearer +(\S+)$/i.exec(authorization)?.[1] ?? "");
    // Equal time for equal lengths: the answer's delay must not spell out a token.
    return known.find(({ token }) => token.length === sent.length && timingSafeEqual(token, sent))?.user;
  };
}

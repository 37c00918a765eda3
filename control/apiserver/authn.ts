/**
 * Authentication: who a client is, by its certificate or its token.
 *
 *   Credentials ─▶ authenticators, in order ─▶ User, or 401
 */
import { timingSafeEqual } from "node:crypto";
import { StatusError } from "#api/status.ts";
import type { Credentials } from "./exchange.ts";
import type { User } from "./registry.ts";

/** The user behind the credentials; undefined when they are not of this sort. */
export type Authenticator = (credentials: Credentials) => User | undefined;

/** What every authenticated user is in. */
const authenticatedGroup = "system:authenticated";

/** The first answer of `authenticators`, else 401. */
export function authenticate(authenticators: readonly Authenticator[], credentials: Credentials): User {
  for (const authenticator of authenticators) {
    const user = authenticator(credentials);
    if (user !== undefined) return { name: user.name, groups: [...user.groups, authenticatedGroup] };
  }
  throw new StatusError("Unauthorized", "Unauthorized");
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

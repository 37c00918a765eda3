/** Bookinfo's ratings service: stars of each reviewer. */
import { json, serve } from "./service.ts";

serve((_request, path) => {
  const id = /^\/ratings\/(\d+)$/.exec(path)?.[1];
  if (id === undefined)
    return path.startsWith("/ratings/") ? json({ error: "please provide numeric product ID" }, 400) : undefined;
  return json({ id: Number(id), ratings: { Reviewer1: 5, Reviewer2: 4 } });
});

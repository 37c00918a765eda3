/**
 * Bookinfo's reviews service. v1 shows no stars, v2 black ones, v3 red ones: ENABLE_RATINGS and STAR_COLOR decide.
 * When ratings cannot be had the reviews say so, as Bookinfo's do.
 */
import { hostname } from "node:os";
import { call, json, serve, serviceUrl } from "./service.ts";

const withRatings = process.env["ENABLE_RATINGS"] === "true";
const color = process.env["STAR_COLOR"] ?? "black";

const texts: Readonly<Record<string, string>> = {
  Reviewer1: "An extremely entertaining play by Shakespeare. The slapstick humour is refreshing!",
  Reviewer2:
    "Absolutely fun and entertaining. The play lacks thematic depth when compared to other plays by Shakespeare.",
};

interface Ratings {
  readonly ratings: Readonly<Record<string, number>>;
}

serve(async (request, path) => {
  const id = /^\/reviews\/(\d+)$/.exec(path)?.[1];
  if (id === undefined) return undefined;
  let rate: (reviewer: string) => object = () => ({});
  if (withRatings) {
    try {
      const { ratings } = (await call(`${serviceUrl("ratings")}/ratings/${id}`, request.headers)) as Ratings;
      rate = (reviewer) => ({ rating: { stars: ratings[reviewer] ?? -1, color } });
    } catch (error) {
      console.error(`Ratings cannot be had: ${(error as Error).message}`);
      rate = () => ({ rating: { error: "Ratings service is currently unavailable" } });
    }
  }
  const reviews = Object.entries(texts).map(([reviewer, text]) => ({ reviewer, text, ...rate(reviewer) }));
  return json({ id, podname: hostname(), clustername: process.env["CLUSTER_NAME"] ?? "null", reviews });
});

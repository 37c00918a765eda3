/**
 * Bookinfo's product page: one page out of details and reviews. It names the reviews pod that served it.
 * When a part cannot be had the page says so in its place, with status 200, as Bookinfo's does.
 */
import type { IncomingHttpHeaders } from "node:http";
import { type Answer, call, json, serve, serviceUrl } from "./service.ts";

interface Review {
  readonly reviewer: string;
  readonly text: string;
  readonly rating?: { readonly stars?: number; readonly color?: string; readonly error?: string };
}

interface Reviews {
  readonly podname: string;
  readonly reviews: readonly Review[];
}

const product = {
  id: 0,
  title: "The Comedy of Errors",
  descriptionHtml:
    "One of Shakespeare's early comedies: two pairs of twins, one city, and everyone mistaken for another.",
};

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escape = (value: unknown): string => String(value).replace(/[&<>"']/g, (sign) => escapes[sign] ?? sign);

/** The value, or undefined with a line in the log. */
async function attempt(what: string, value: Promise<unknown>): Promise<unknown> {
  try {
    return await value;
  } catch (error) {
    console.error(`${what} cannot be had: ${(error as Error).message}`);
    return undefined;
  }
}

function detailsPart(details: Readonly<Record<string, unknown>> | undefined): string {
  if (details === undefined) return '<p class="error">Error fetching product details!</p>';
  const rows = Object.entries(details).filter(([name]) => name !== "id");
  return `<table id="details">${rows.map(([name, value]) => `<tr><th>${escape(name)}</th><td>${escape(value)}</td></tr>`).join("")}</table>`;
}

function stars({ rating }: Review): string {
  if (rating === undefined) return "";
  if (rating.stars === undefined || rating.error !== undefined) return `<p class="error">${escape(rating.error)}</p>`;
  return `<p class="stars" style="color:${escape(rating.color)}">${"★".repeat(rating.stars)}${"☆".repeat(5 - rating.stars)}</p>`;
}

function reviewsPart(reviews: Reviews | undefined): string {
  if (reviews === undefined) return '<p class="error">Error fetching product reviews!</p>';
  const quotes = reviews.reviews.map(
    (review) =>
      `<blockquote>${escape(review.text)}<footer>${escape(review.reviewer)}</footer>${stars(review)}</blockquote>`,
  );
  return `${quotes.join("")}<p id="served-by">Reviews served by: <code>${escape(reviews.podname)}</code></p>`;
}

const style =
  "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem;color:#1c2b33}main{display:grid;gap:2rem;grid-template-columns:1fr 1.4fr}" +
  "th{text-align:left;padding-right:1.5rem;font-weight:600}blockquote{margin:0 0 1rem;padding:.5rem 1rem;border-left:4px solid #3a7ca5}footer{color:#5a6b75}.stars{font-size:1.4rem;margin:0}.error{color:#b3261e}";

async function page(headers: IncomingHttpHeaders): Promise<Answer> {
  const [details, reviews] = await Promise.all([
    attempt("Details", call(`${serviceUrl("details")}/details/0`, headers)),
    attempt("Reviews", call(`${serviceUrl("reviews")}/reviews/0`, headers)),
  ]);
  const body = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${product.title}</title><style>${style}</style></head>
<body><h1>${product.title}</h1><p>${escape(product.descriptionHtml)}</p><main>
<section><h2>Book Details</h2>${detailsPart(details as Record<string, unknown> | undefined)}</section>
<section><h2>Book Reviews</h2>${reviewsPart(reviews as Reviews | undefined)}</section>
</main></body></html>
`;
  return { status: 200, contentType: "text/html; charset=utf-8", body };
}

serve(async (request, path) => {
  if (path === "/productpage") return page(request.headers);
  if (path === "/" || path === "/index.html") {
    return {
      status: 200,
      contentType: "text/html; charset=utf-8",
      body: '<!doctype html><title>Bookinfo</title><a href="/productpage">Product page</a>\n',
    };
  }
  if (path === "/api/v1/products") return json([product]);
  const part = /^\/api\/v1\/products\/(\d+)(?:\/(reviews|ratings))?$/.exec(path);
  if (part === null) return undefined;
  const [, id = "", of = "details"] = part;
  return json(await call(`${serviceUrl(of)}/${of}/${id}`, request.headers));
});

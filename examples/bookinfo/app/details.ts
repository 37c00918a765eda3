/** Bookinfo's details service: facts about a book. */
import { json, serve } from "./service.ts";

serve((_request, path) => {
  const id = /^\/details\/(\d+)$/.exec(path)?.[1];
  if (id === undefined)
    return path.startsWith("/details/") ? json({ error: "please provide numeric product id" }, 400) : undefined;
  return json({
    id: Number(id),
    author: "William Shakespeare",
    year: 1595,
    type: "paperback",
    pages: 200,
    publisher: "PublisherA",
    language: "English",
    "ISBN-10": "1234567890",
    "ISBN-13": "123-1234567890",
  });
});

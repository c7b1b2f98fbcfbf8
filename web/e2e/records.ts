/** Records that someone could have written: a small field guide. No two say the same. */

const PLACES = [
  "meadow",
  "river bank",
  "pine forest",
  "old orchard",
  "salt marsh",
  "stone quarry",
  "alpine slope",
  "city park",
];
const BIRDS = [
  ["goldfinch", "feeds on thistle seeds and builds a deep cup of moss, wool and spider silk"],
  ["kingfisher", "dives for minnows from a low branch and digs its nest as a tunnel into clay"],
  ["crossbill", "opens spruce cones with a twisted bill and breeds even in deep winter"],
  ["hoopoe", "probes short grass for beetle larvae and raises a fan of feathers when alarmed"],
  ["avocet", "sweeps its upturned bill through shallow water to sieve shrimps"],
  ["eagle owl", "hunts hares at dusk and calls with two low notes that carry for miles"],
  ["snowfinch", "picks frozen insects from old snow and nests in cracks of rock"],
  ["blackbird", "listens for worms with its head on one side and sings long before sunrise"],
] as const;

/** JSON lines with a question and an answer each; `name` makes them different from everyone else's. */
export function fieldGuide(name: string, columns: [string, string] = ["prompt", "response"]): string {
  const [ask, tell] = columns;
  return BIRDS.map(([bird, habit], at) =>
    JSON.stringify({
      [ask]: `${name} asks which bird lives in the ${PLACES[at]} and how it makes a living there`,
      [tell]: `The ${bird} lives in the ${PLACES[at]}. It ${habit}. Note ${at + 1} by ${name}.`,
    }),
  )
    .concat("")
    .join("\n");
}

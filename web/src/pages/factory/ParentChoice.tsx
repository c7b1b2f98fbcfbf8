/** Which published models a model is built on. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { describeError } from "../../api/error";
import { shortHex } from "../../lib/format";
import { SearchField } from "../../ui/SearchField";
import { registryQuery } from "../models/queries";
import { PARENTS_MAX, type Parent, parentsOf } from "./parents";

const SEARCH_MAX = 100;

export function ParentChoice({
  parents,
  problem,
  onChange,
}: {
  parents: readonly Parent[];
  /** What the node said against them. */
  problem: string | null;
  onChange: (parents: readonly Parent[]) => void;
}) {
  const [search, setSearch] = useState("");
  const query = useInfiniteQuery(registryQuery(search.trim()));
  const rows = query.data?.pages.flatMap(({ data }) => data) ?? [];
  const nothing = query.error
    ? describeError(query.error).detail
    : query.data === undefined || query.isPlaceholderData
      ? "Reading the models …"
      : search.trim() === ""
        ? "No model is published yet."
        : "No model fits.";
  const choose = (ids: readonly string[]) => {
    onChange(parentsOf(ids, [...parents, ...rows]));
    // The next one is searched for from the beginning.
    setSearch("");
  };
  return (
    <SearchField
      label="Models that it is built on"
      className="md:max-w-2xl"
      placeholder="Name, builder's address or id"
      chosen={parents.map(({ id, name }) => ({ value: id, label: name }))}
      onChange={choose}
      max={PARENTS_MAX}
      search={search}
      onSearch={setSearch}
      searchMax={SEARCH_MAX}
      found={rows.map(({ id, name, builder }) => ({
        value: id,
        label: name,
        description: `by ${shortHex(builder)}`,
      }))}
      nothing={nothing}
      remark={query.hasNextPage ? "There are more; type a part of the name." : null}
      error={problem}
    />
  );
}

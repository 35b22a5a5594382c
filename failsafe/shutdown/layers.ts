/**
 * A layered layout: boxes in columns by how many others come before them, edges that cross a column led through a gap of their own, boxes ordered so that few edges cross.
 * Pure, deterministic. Sizes in pixels; the caller draws.
 */
export interface LayoutBox {
  widthPx: number;
  heightPx: number;
  /** Places of the boxes that it has edges from. */
  from: readonly number[];
}

export interface Placed {
  /** Upper left corner of each box. */
  boxes: readonly { x: number; y: number }[];
  /** For each edge the points it goes through, from the right side of one box to the left side of the other. */
  edges: readonly { from: number; to: number; points: (readonly [x: number, y: number])[] }[];
  widthPx: number;
  heightPx: number;
}

/** Between columns: room for edges to turn. */
const COLUMN_GAP = 56;
const ROW_GAP = 18;
/** Height that an edge takes where it passes a column. */
const LANE_PX = 12;
const SWEEPS = 8;

/** A box, or an edge passing a column. */
interface Item { box: number | undefined; heightPx: number; widthPx: number; from: Item[]; to: Item[]; column: number; y: number }

/** Boxes come after those they have edges from. */
export function layOut(boxes: readonly LayoutBox[]): Placed {
  const items: Item[] = [];
  const columns: Item[][] = [];
  const put = (item: Item): Item => {
    (columns[item.column] ??= []).push(item);
    return item;
  };
  const ways: { from: number; to: number; way: Item[] }[] = [];
  for (const [box, { widthPx, heightPx, from }] of boxes.entries()) {
    const column = Math.max(-1, ...from.map((each) => items[each]!.column)) + 1;
    items.push(put({ box, heightPx, widthPx, from: [], to: [], column, y: 0 }));
    for (const each of from) {
      const way = [items[each]!];
      while (way.at(-1)!.column < column - 1) way.push(put({ box: undefined, heightPx: LANE_PX, widthPx: 0, from: [], to: [], column: way.at(-1)!.column + 1, y: 0 }));
      way.push(items[box]!);
      for (let at = 1; at < way.length; at++) {
        way[at]!.from.push(way[at - 1]!);
        way[at - 1]!.to.push(way[at]!);
      }
      ways.push({ from: each, to: box, way });
    }
  }
  order(columns);
  const heightPx = stack(columns);
  const left = columnEdges(columns);
  return {
    boxes: items.map(({ column, y }) => ({ x: left[column]!.x, y })),
    edges: ways.map(({ from, to, way }) => ({ from, to, points: pointsOf(way, left) })),
    widthPx: left.at(-1)!.x + left.at(-1)!.widthPx, heightPx,
  };
}

/** Forth and back, each column sorted by where its neighbours stand. */
function order(columns: Item[][]): void {
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forth = sweep % 2 === 0;
    for (const column of forth ? columns : columns.toReversed()) {
      const rank = new Map(columns.flatMap((each) => each.map((item, at) => [item, at / Math.max(1, each.length - 1)] as const)));
      const wanted = new Map(column.map((item, at) => [item, mean((forth ? item.from : item.to).map((each) => rank.get(each)!)) ?? at / Math.max(1, column.length - 1)]));
      column.sort((a, b) => wanted.get(a)! - wanted.get(b)!);
    }
  }
}

function mean(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Columns are stacked from the top, then each item is drawn towards the middle of its neighbours as far as the others let it. Returns the height of all. */
function stack(columns: readonly Item[][]): number {
  for (const column of columns) {
    let y = 0;
    for (const item of column) {
      item.y = y;
      y += item.heightPx + ROW_GAP;
    }
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const column of sweep % 2 === 0 ? columns : columns.toReversed()) {
      for (const [at, item] of column.entries()) {
        const middle = mean([...item.from, ...item.to].map((each) => each.y + each.heightPx / 2));
        if (middle === undefined) continue;
        const above = column[at - 1];
        const below = column[at + 1];
        const least = above ? above.y + above.heightPx + ROW_GAP : -Infinity;
        const most = below ? below.y - ROW_GAP - item.heightPx : Infinity;
        item.y = Math.max(least, Math.min(most, middle - item.heightPx / 2));
      }
    }
  }
  const all = columns.flat();
  const top = Math.min(...all.map(({ y }) => y));
  for (const item of all) item.y -= top;
  return Math.max(...all.map(({ y, heightPx }) => y + heightPx));
}

function columnEdges(columns: readonly Item[][]): { x: number; widthPx: number }[] {
  let x = 0;
  return columns.map((column) => {
    const widthPx = Math.max(...column.map((item) => item.widthPx));
    const edge = { x, widthPx };
    x += widthPx + COLUMN_GAP;
    return edge;
  });
}

function pointsOf(way: readonly Item[], left: readonly { x: number; widthPx: number }[]): [number, number][] {
  const points: [number, number][] = [];
  for (const [at, item] of way.entries()) {
    const { x, widthPx } = left[item.column]!;
    const y = item.y + item.heightPx / 2;
    // Boxes may be narrower than their column: the edge runs straight until nothing of the column is in its way.
    if (at > 0) points.push([x, y]);
    if (at === way.length - 1) continue;
    if (item.widthPx < widthPx && item.box !== undefined) points.push([x + item.widthPx, y]);
    points.push([x + widthPx, y]);
  }
  return points;
}

// Where the tiles of a call stand. Pure functions: sizes go in, rectangles come out.

/** @typedef {{x: number, y: number, width: number, height: number}} Box */

const WIDEST = 16 / 9;
const NARROWEST_WIDE = 1.1;
const NARROWEST_TALL = 3 / 4;
/** From this on, what is beside the large tile stands at its side and not below it. */
const BESIDE_FROM = 1.15;
const STRIP_SHARE = 0.22;
const STRIP_AT_LEAST = 112;
const STRIP_AT_MOST = 288;

/**
 * Lay out tiles in a box, as large as they can be; with a `focus`, that one is large and the others stand beside it.
 *
 * @param {number} count
 * @param {{width: number, height: number}} box
 * @param {{gap: number, focus?: number}} wishes
 * @returns {Box[]}
 */
export function arrange(count, { width, height }, { gap, focus = -1 }) {
  const whole = { x: 0, y: 0, width, height };
  if (focus < 0 || focus >= count || count < 2) return grid(count, whole, gap, count === 1 && focus === 0);
  const beside = width / height > BESIDE_FROM;
  const length = beside ? width : height;
  const strip = Math.round(Math.min(Math.max(length * STRIP_SHARE, STRIP_AT_LEAST), STRIP_AT_MOST, length / 2));
  const large = beside ? { ...whole, width: width - strip - gap } : { ...whole, height: height - strip - gap };
  const rest = beside
    ? { x: width - strip, y: 0, width: strip, height }
    : { x: 0, y: height - strip, width, height: strip };
  const boxes = grid(count - 1, rest, gap, false);
  boxes.splice(focus, 0, large);
  return boxes;
}

/**
 * The grid whose tiles are largest; the last row is centred.
 *
 * @param {number} count
 * @param {Box} box
 * @param {number} gap
 * @param {boolean} whole  Whether a single tile may have any shape.
 * @returns {Box[]}
 */
function grid(count, box, gap, whole) {
  if (count === 0) return [];
  if (whole) return [box];
  const narrowest = box.width > box.height ? NARROWEST_WIDE : NARROWEST_TALL;
  let best = { columns: 1, width: 0, height: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const cell = {
      width: (box.width - gap * (columns - 1)) / columns,
      height: (box.height - gap * (rows - 1)) / rows,
    };
    if (cell.width <= 0 || cell.height <= 0) continue;
    const width = Math.min(cell.width, cell.height * WIDEST);
    const height = Math.min(cell.height, width / narrowest);
    if (width * height > best.width * best.height * 1.001) best = { columns, width, height };
  }
  const { columns } = best;
  const [tileWidth, tileHeight] = [Math.floor(best.width), Math.floor(best.height)];
  const rows = Math.ceil(count / columns);
  const top = box.y + (box.height - rows * tileHeight - (rows - 1) * gap) / 2;
  return Array.from({ length: count }, (_, at) => {
    const row = Math.floor(at / columns);
    const inRow = row === rows - 1 ? count - row * columns : columns;
    const left = box.x + (box.width - inRow * tileWidth - (inRow - 1) * gap) / 2;
    return {
      x: Math.round(left + (at - row * columns) * (tileWidth + gap)),
      y: Math.round(top + row * (tileHeight + gap)),
      width: tileWidth,
      height: tileHeight,
    };
  });
}

"""Shows the camera's pictures with the detector's boxes in the terminal; without a terminal, a line a second. Says on `display/shown` what it shows, made from picture and boxes."""

import shutil
import signal
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

import ipcnet

Colour = Tuple[int, int, int]
COLOURS: Dict[str, Colour] = {"red": (255, 120, 120), "green": (120, 255, 140)}


class Display:
    def __init__(self, client: ipcnet.Client) -> None:
        self.shown = client.advertise("display/shown", "cbor")
        self.picture: Optional[ipcnet.Message] = None
        self.began = time.monotonic()
        self.frames = self.lost = self.told = 0
        self.latency_ms = 0.0
        self.is_terminal = sys.stdout.isatty()
        client.subscribe("camera/front", self.take_picture)
        client.subscribe("vision/boxes", self.take_boxes)
        if self.is_terminal:
            # A screen of its own without a cursor; `close` gives the old one back.
            sys.stdout.write("\x1b[?1049h\x1b[?25l\x1b[2J")

    def close(self) -> None:
        if self.is_terminal:
            sys.stdout.write("\x1b[?25h\x1b[?1049l")
            sys.stdout.flush()
        print(f"{self.frames} pictures shown")

    def take_picture(self, message: ipcnet.Message) -> None:
        self.lost += message.lost_before
        self.picture = message

    def take_boxes(self, message: ipcnet.Message) -> None:
        if self.picture is None:
            return
        self.frames += 1
        # From the moment the picture was drawn until its boxes are here.
        self.latency_ms += (time.monotonic_ns() / 1e3 - message.value["pictureTimeUs"]) / 1e3
        if self.is_terminal:
            self.draw(self.picture.value, message.value["boxes"])
        self.shown.publish({"boxes": len(message.value["boxes"]), "number": self.frames}, lineage=[self.picture, message])
        if time.monotonic() - self.began >= 1:
            self.tell()

    def tell(self) -> None:
        seconds = time.monotonic() - self.began
        new = self.frames - self.told
        line = f"{new / seconds:5.1f} pictures/s   camera to here {self.latency_ms / max(1, new):6.2f} ms   left out {self.lost}"
        if self.is_terminal:
            sys.stdout.write(f"\x1b[{shutil.get_terminal_size().lines};1H\x1b[0m{line}\x1b[K")
        else:
            print(line)
        sys.stdout.flush()
        self.began, self.told, self.latency_ms, self.lost = time.monotonic(), self.frames, 0.0, 0

    def draw(self, video: ipcnet.Video, boxes: List[Dict[str, Any]]) -> None:
        """Half blocks: two pixels above each other in each character."""
        size = shutil.get_terminal_size()
        columns, rows = min(size.columns, 100), min(size.lines - 1, 36)
        pixels, width, height = video.data, video.width, video.height
        edges = edge_pixels(boxes, columns / width, 2 * rows / height)

        def colour(x: int, y: int) -> Colour:
            at = 3 * (y * height // (2 * rows) * width + x * width // columns)
            return edges.get((x, y)) or (pixels[at], pixels[at + 1], pixels[at + 2])

        out = ["\x1b[H"]
        for row in range(rows):
            last: Tuple[Colour, ...] = ()
            for x in range(columns):
                pair = (colour(x, 2 * row), colour(x, 2 * row + 1))
                if pair != last:
                    out.append("\x1b[38;2;%d;%d;%d;48;2;%d;%d;%dm" % (*pair[0], *pair[1]))
                    last = pair
                out.append("▀")
            out.append("\x1b[0m\r\n")
        sys.stdout.write("".join(out))
        sys.stdout.flush()


def edge_pixels(boxes: List[Dict[str, Any]], scale_x: float, scale_y: float) -> Dict[Tuple[int, int], Colour]:
    edges = {}
    for box in boxes:
        left, right = int(box["x"] * scale_x), int((box["x"] + box["width"]) * scale_x)
        top, bottom = int(box["y"] * scale_y), int((box["y"] + box["height"]) * scale_y)
        for x in range(left, right + 1):
            edges[x, top] = edges[x, bottom] = COLOURS[box["label"]]
        for y in range(top, bottom + 1):
            edges[left, y] = edges[right, y] = COLOURS[box["label"]]
    return edges


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ipcnet.connect(name="display") as client:
            display = Display(client)
            try:
                client.run()
            except KeyboardInterrupt:
                return 0
            finally:
                display.close()
    except ipcnet.IpcnetError as error:
        print(f"display: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


sys.exit(main())

/* A camera: 640×480 pixels, 30 pictures a second, of two balls that fly about in front of a grey wall. Each picture is drawn where its readers will find it. */
#include <ipcnet.h>
#include <ipcnet_media.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 640, HEIGHT = 480, RATE_HZ = 30, PICTURE_BYTES = WIDTH * HEIGHT * 3 };

static volatile sig_atomic_t ended;

static void end(int signal) {
  (void)signal;
  ended = 1;
}

/* Up and down between 0 and `span`. */
static int there_and_back(int64_t way, int span) {
  const int at = (int)(way % (2 * span));
  return at < span ? at : 2 * span - at;
}

static void draw_ball(uint8_t *pixels, int x0, int y0, int radius, const uint8_t colour[3]) {
  for (int y = -radius; y <= radius; y++) {
    for (int x = -radius; x <= radius; x++) {
      if (x * x + y * y <= radius * radius) memcpy(pixels + 3 * ((y0 + y) * WIDTH + x0 + x), colour, 3);
    }
  }
}

static void draw(uint8_t *pixels, int64_t number) {
  static const uint8_t red[3] = { 220, 40, 40 }, green[3] = { 40, 200, 60 };
  for (int y = 0; y < HEIGHT; y++) memset(pixels + 3 * WIDTH * y, 40 + y / 6, 3 * WIDTH);
  draw_ball(pixels, 60 + there_and_back(5 * number, WIDTH - 120), 60 + there_and_back(3 * number, HEIGHT - 120), 50, red);
  draw_ball(pixels, 40 + there_and_back(200 + 4 * number, WIDTH - 80), 40 + there_and_back(100 + 7 * number, HEIGHT - 80), 30, green);
}

/* Draws and publishes one picture: 0 or a negative status. */
static int publish(struct ipcnet_writer *writer, int64_t number) {
  struct ipcnet_media_video picture = { .key_frame = 1, .plane_count = 1, .width = WIDTH, .height = HEIGHT, .planes = { { 0, 3 * WIDTH, 3 * WIDTH, HEIGHT } }, .data_bytes = PICTURE_BYTES };
  void *room;
  int status = ipcnet_writer_loan(writer, IPCNET_MEDIA_VIDEO_BYTES + PICTURE_BYTES, 0, &room);
  if (status < 0) return status;
  memcpy(picture.fourcc, "RGB3", 4);
  picture.pts_ns = number * (1000000000 / RATE_HZ);
  ipcnet_media_video_encode(&picture, room);
  draw((uint8_t *)room + IPCNET_MEDIA_VIDEO_BYTES, number);
  return ipcnet_writer_commit(writer, IPCNET_MEDIA_VIDEO_BYTES + PICTURE_BYTES, NULL);
}

/* Serves the client until it is time for the next picture. */
static int wait_until(struct ipcnet_client *client, int64_t due_ns) {
  for (;;) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t left_ms = (due_ns - ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec)) / 1000000;
    if (left_ms <= 0 || ended) return 0;
    const int status = ipcnet_poll(client, (int)left_ms);
    if (status < 0) return status;
  }
}

int main(void) {
  struct ipcnet_client *client;
  struct ipcnet_writer *writer;
  struct timespec start;
  const struct ipcnet_connect_options who = { .name = "camera" };
  const struct ipcnet_advertise_options video = { .encoding = "video", .policy = IPCNET_QUEUE, .queue = 8, .payload_bytes_max = IPCNET_MEDIA_VIDEO_BYTES + PICTURE_BYTES };
  signal(SIGINT, end);
  signal(SIGTERM, end);
  int status = ipcnet_connect(&client, &who);
  if (status >= 0) status = ipcnet_advertise(client, "camera/front", &video, &writer);
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (int64_t number = 0; status >= 0 && !ended; number++) {
    status = publish(writer, number);
    if (status >= 0) status = wait_until(client, (int64_t)start.tv_sec * 1000000000 + start.tv_nsec + (number + 1) * 1000000000 / RATE_HZ);
  }
  if (status < 0) fprintf(stderr, "camera: %s\n", ipcnet_last_error_text(client));
  ipcnet_close(client);
  return status < 0;
}

#!/bin/sh
# Makes the test cards in sora_mcp/simulator/clips with ffmpeg (libx264) and the DejaVu fonts.
# usage: sh tests/simulator/make_clips.sh
# A card shows the word SIMULATED, its size and length, a running clock, and a bar that sweeps once over the clip.
set -eu
out=$(dirname "$0")/../../sora_mcp/simulator/clips
font=/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf
mkdir -p "$out"
for size in 1280x720 720x1280; do
  for seconds in 4 8 12; do
    text="drawtext=fontfile=$font:fontcolor=white:x=(w-text_w)/2"
    ffmpeg -y -loglevel error \
      -f lavfi -i "color=c=0x18243a:s=$size:r=12:d=$seconds" \
      -f lavfi -i "color=c=0xe0a030:s=$size:r=12:d=$seconds" \
      -filter_complex "[0][1]overlay=x='-W+W*t/$seconds':y=H-48:shortest=1,
        $text:fontsize=88:y=h/2-170:text=SIMULATED,
        $text:fontsize=36:y=h/2-50:text='$size  $seconds s',
        $text:fontsize=72:y=h/2+40:text='%{pts\:hms}'" \
      -an -c:v libx264 -profile:v main -preset veryslow -crf 34 -pix_fmt yuv420p -g 600 -movflags +faststart \
      -map_metadata -1 -fflags +bitexact -flags:v +bitexact "$out/$size-$seconds.mp4"
  done
done

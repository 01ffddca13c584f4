"""The matrix."""
from fractions import Fraction

from files import *
from inputs import *
from checks import *




# MP4 and MOV always have a default one of each kind, Matroska only where told.
DEFAULTS = "-disposition:v:0 default -disposition:a:0 default"


def simple(name, arguments, source, **more):
    """One call of ffmpeg with the picture and two tones."""
    make = [f"{picture()} {tone(440)} {tone(880, layout='mono')} -map 0 -map 1 {arguments} {source}"]
    return Case(name, make, source=source, **more)


def containers():
    """The usual ones in, kizuna's choice out; then from one to another."""
    two = "-map 2"
    return [
        simple("mkv stays mkv", f"{two} {X264} -c:a aac", "in.mkv", out="", default="in.4k.mkv"),
        simple("mp4 stays mp4", f"{two} {X264} -c:a aac", "in.mp4", out="", default="in.4k.mp4",
               checks=(first_is("hevc", "hvc1"),)),
        simple("m4v stays m4v", f"{X264} -c:a aac -f mp4", "in.m4v", out="", default="in.4k.m4v"),
        simple("mov stays mov", "-c:v prores_ks -profile:v 2 -c:a pcm_s16le", "in.mov", out="",
               default="in.4k.mov"),
        simple("ts stays ts", f"{two} {X264} -c:a aac", "in.ts", out="", default="in.4k.ts"),
        simple("m2ts stays m2ts", f"{two} {X264} -c:a ac3 -mpegts_m2ts_mode 1", "in.m2ts", out="",
               default="in.4k.m2ts"),
        simple("nut stays nut", f"{two} {FFV1} -c:a pcm_s16le", "in.nut", out="", default="in.4k.nut"),
        simple("webm (vp9, opus) becomes mkv",
               "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 20 -b:v 0 "
               "-c:a libopus", "in.webm", out="", default="in.4k.mkv"),
        simple("webm (vp8, vorbis) becomes mkv", "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 2M "
               "-c:a libvorbis", "in.webm", out="", default="in.4k.mkv"),
        simple("avi becomes mkv", f"{two} -c:v mpeg4 -q:v 2 -c:a mp3", "in.avi", out="", default="in.4k.mkv"),
        simple("flv (flv1, mp3) becomes mkv", "-c:v flv -q:v 2 -c:a mp3 -ar 44100", "in.flv", out="",
               default="in.4k.mkv"),
        simple("flv (h264, aac) becomes mkv", f"{X264} -c:a aac", "in.flv", out="", default="in.4k.mkv"),
        simple("ogv becomes mkv", "-c:v libtheora -q:v 9 -c:a libvorbis", "in.ogv", out="",
               default="in.4k.mkv"),
        simple("mpg becomes mkv", f"{MPEG2} -c:a mp2", "in.mpg", out="", default="in.4k.mkv"),
        simple("vob becomes mkv", f"{two} {MPEG2} -c:a ac3", "in.vob", out="", default="in.4k.mkv"),
        simple("wmv becomes mkv", "-c:v wmv2 -q:v 2 -c:a wmav2", "in.wmv", out="", default="in.4k.mkv"),
        Case("y4m becomes mkv", [f"{picture()} in.y4m"], source="in.y4m", out="", default="in.4k.mkv"),
        simple("mkv to mp4", f"{two} {X264} -c:a aac {DEFAULTS}", "in.mkv", out="out.mp4"),
        simple("mkv to mov", f"{two} {X264} -c:a aac {DEFAULTS}", "in.mkv", out="out.mov"),
        simple("mkv to ts", f"{two} {X264} -c:a aac", "in.mkv", out="out.ts", lost_flags=("default",)),
        simple("mkv to nut", f"{two} {X264} -c:a aac", "in.mkv", out="out.nut"),
        simple("mp4 to mkv", f"{two} {X264} -c:a aac", "in.mp4"),
        simple("mp4 to ts", f"{two} {X264} -c:a aac", "in.mp4", out="out.ts", lost_flags=("default",)),
        simple("mov to mp4", f"{two} {X264} -c:a alac", "in.mov", out="out.mp4"),
        simple("ts to mkv", f"{two} {X264} -c:a aac", "in.ts"),
        simple("ts to mp4", f"{two} {X264} -c:a aac", "in.ts", out="out.mp4", lost_flags=("default",)),
        simple("nut to mkv", f"{two} {FFV1} -c:a flac", "in.nut"),
        simple("avi to mp4", f"{two} -c:v mpeg4 -q:v 2 -c:a mp3", "in.avi", out="out.mp4",
               lost_flags=("default",)),
    ]


def sounds():
    inputs = f"{picture()} {tone(300, layout='5.1')} {tone(500)} {tone(700, layout='mono')}"
    dts = "-c:a:3 dca -strict -2 -b:a:3 768k"
    many = f"{X264} -map 0 -map 1 -map 2 -map 3 -map 1 -map 2"
    languages = " ".join(f"-metadata:s:a:{n} language={code} -metadata:s:a:{n} title='Sound {code}'"
                         for n, code in enumerate(("jpn", "eng", "ger", "fre", "ita")))
    return [
        Case("5.1, stereo and mono in many codecs", [
            f"{inputs} {many} -c:a:0 ac3 -c:a:1 flac -c:a:2 libopus {dts} -c:a:4 alac {languages} in.mkv"]),
        Case("more codecs of sound", [
            f"{inputs} {many} -c:a:0 eac3 -c:a:1 libvorbis -c:a:2 pcm_s24le -c:a:3 libopus -c:a:4 mp3 "
            f"{languages} in.mkv"]),
        Case("sound codecs in mp4", [
            f"{inputs} {many} -c:a:0 ac3 -c:a:1 aac -c:a:2 mp3 -c:a:3 eac3 -c:a:4 alac {languages} in.mp4"],
            source="in.mp4", out="", default="in.4k.mp4"),
        Case("flac and opus in mp4 to mkv", [
            f"{inputs} {X264} -map 0 -map 1 -map 2 -c:a:0 flac -c:a:1 libopus -strict -2 in.mp4"],
             source="in.mp4"),
        Case("surround in ts",
             [f"{inputs} {many} -c:a:0 ac3 -c:a:1 aac -c:a:2 mp2 -c:a:3 eac3 -c:a:4 mp2 in.ts"],
             source="in.ts", out="", default="in.4k.ts"),
        Case("pcm of all sorts in mov", [
            f"{inputs} {X264} -map 0 -map 1 -map 2 -map 3 -c:a:0 pcm_s16be -c:a:1 pcm_s24le -c:a:2 pcm_f32le "
            "in.mov"], source="in.mov", out="", default="in.4k.mov"),
        Case("pcm from mov to mkv", [
            f"{inputs} {X264} -map 0 -map 1 -map 2 -c:a:0 pcm_s16be -c:a:1 pcm_s24le in.mov"],
             source="in.mov"),
        Case("24 bit flac to nut", [f"{inputs} {X264} -map 0 -map 2 -c:a flac -sample_fmt s32 in.mkv"],
             out="out.nut"),
    ]


def subtitles():
    texts = {"a.srt": SRT, "b.ass": ASS, "c.srt": LAST_LINE, "p.sup": PGS}
    three = "-map 0 -map 1 -map 2 -map 3 -map 4"
    five = f"{picture()} {tone()} -i a.srt -i b.ass -i c.srt"
    words = f"{picture()} {tone()} -i a.srt -i c.srt -map 0 -map 1 -map 2 -map 3 {X264} -c:a aac " \
            "-c:s mov_text -metadata:s:s:0 language=eng -metadata:s:s:1 language=ger"
    coded = lambda file: f"{picture()} -i {file} -map 0 -map 1 {X264} -c:s mov_text"
    sixty = " ".join("-map 2" for _ in range(62))
    pgs = f"{picture()} {tone()} -i p.sup -map 0 -map 1 -map 2 {X264}"
    return [
        Case("srt, ass and webvtt in mkv", [
            f"{five} {three} -map 2 {X264} -c:a aac -c:s:0 srt -c:s:1 ass -c:s:2 srt -c:s:3 webvtt "
            "-metadata:s:s:0 language=ger -metadata:s:s:1 language=jpn "
            "-metadata:s:s:1 title='Signs & Songs' in.mkv"],
            files=texts),
        Case("one line at the very end", [f"{five} -map 0 -map 1 -map 4 {X264} -c:a aac -c:s srt in.mkv"],
             files=texts),
        Case("a line long after the picture", [
            f"{picture()} -i a.srt -itsoffset 3 -i c.srt -map 0 -map 1 -map 2 {X264} -c:s srt in.mkv"],
             files=texts),
        Case("mov_text stays in mp4", [f"{words} in.mp4"], source="in.mp4", out="", default="in.4k.mp4",
             files=texts),
        Case("mov_text becomes ass in mkv", [f"{words} in.mp4"], source="in.mp4", files=texts,
             codecs={2: "ass", 3: "ass"}),
        Case("mov_text in other codings becomes ass in mkv", [
            f"{coded('same.srt')} same.mp4", f"{coded('plain.srt')} plain.mp4",
            replace("plain.mp4", "in.mp4", (b"1" * 12, "größte Löwen".encode("latin-1")),
                    (b"2" * 14, "ab日😀c".encode("utf-16-le").join((b"\xff\xfe", b""))),
                    (b"3" * 10, "äß漢é".encode("utf-16-be").join((b"\xfe\xff", b""))))],
            source="in.mp4", same="same.mp4", codecs={1: "ass"}, checks=(says("stream 1: the subtitle at 0.100 s"),),
            files={"plain.srt": lines("1" * 12, "2" * 14, "3" * 10, "as it was äöü"),
                   "same.srt": lines("größte Löwen", "ab日😀c", "äß漢é", "as it was äöü")}),
        Case("mov_text with zeros behind it becomes ass in mkv", [
            f"{coded('same.srt')} same.mp4", f"{coded('plain.srt')} plain.mp4",
            replace("plain.mp4", "in.mp4", (b"\x00\x0c" + b"1" * 12, b"\x00\x041111" + bytes(8)))],
            source="in.mp4", same="same.mp4", codecs={1: "ass"},
            files={"plain.srt": lines("1" * 12, "as it was"), "same.srt": lines("1111", "as it was")}),
        Case("mov_text stays in mov", [f"{words} in.mov"], source="in.mov", out="", default="in.4k.mov",
             files=texts),
        Case("62 subtitles", [f"{five} -map 0 -map 1 {sixty} {X264} -c:a aac -c:s srt "
                              + " ".join(f"-metadata:s:s:{n} title=Sub{n}" for n in range(62)) + " in.mkv"],
             files=texts),
        Case("pgs in mkv", [f"{pgs} -c:a ac3 -c:s copy -metadata:s:s:0 language=eng in.mkv"], files=texts),
        Case("pgs in m2ts stays", [f"{pgs} -c:a ac3 -c:s copy -mpegts_m2ts_mode 1 in.m2ts"], source="in.m2ts",
             out="", default="in.4k.m2ts", files=texts),
        Case("pgs from m2ts to mkv", [f"{pgs} -c:a ac3 -c:s copy -mpegts_m2ts_mode 1 in.m2ts"],
             source="in.m2ts",
             files=texts),
        Case("pgs from mkv to m2ts", [f"{pgs} -c:a ac3 -c:s copy in.mkv"], out="out.m2ts", files=texts),
        # Without Blu-ray's own stream types nobody would know them again.
        Case("pgs from mkv to ts is refused", [f"{pgs} -c:a ac3 -c:s copy in.mkv"], out="out.ts", files=texts,
             refused=(2,)),
        Case("dvd subtitles in mkv", [f"{pgs} -c:a ac3 -c:s dvdsub in.mkv"], files=texts),
        # The encoder's own times go back by 1 ms here and there, which no output can keep.
        Case("dvb subtitles in ts", [f"{pgs} -c:a ac3 -c:s dvbsub -metadata:s:s:0 language=eng in.ts"],
             source="in.ts",
             out="", default="in.4k.ts", files=texts, forms={2: "joined"}),
        Case("dvb subtitles from ts to mkv", [f"{pgs} -c:a ac3 -c:s dvbsub in.ts"], source="in.ts",
             files=texts,
             forms={2: "joined"}),
        Case("webvtt in webm",
             [f"{picture()} {tone()} -i a.srt -map 0 -map 1 -map 2 -c:v libvpx -deadline realtime "
                                "-cpu-used 8 -b:v 2M -c:a libopus -c:s webvtt in.webm"], source="in.webm",
             files=texts),
    ]


def attachments():
    ass = {"b.ass": ASS}
    cover = f"{picture(size='64x64', seconds=0.04)} -frames:v 1 -pix_fmt rgb24 cover.png"
    jpeg = f"{picture(size='64x64', seconds=0.04)} -frames:v 1 -pix_fmt yuvj420p cover.jpg"
    fonts = f"{picture()} {tone()} -i b.ass -map 0 -map 1 -map 2 {X264} -c:a aac -c:s ass " \
            f"{attach(FONTS)} in.mkv"
    mkv_cover = [cover, jpeg,
                 f"{picture()} {tone()} {X264} -c:a aac {DEFAULTS} -attach cover.png -metadata:s:t:0 "
                 "mimetype=image/png -attach cover.jpg -metadata:s:t:1 mimetype=image/jpeg in.mkv"]
    mp4_cover = [cover, f"{picture()} {tone()} -i cover.png -map 0 -map 1 -map 2 {X264} -c:a aac -c:v:1 copy "
                 "-disposition:v:1 attached_pic in.mp4"]
    first = [cover, f"-i cover.png {picture()} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac -c:v:0 copy "
             "-disposition:v:0 attached_pic in.mp4"]
    small = picture(size="48x32")
    return [
        Case("20 fonts and ass", [fonts], files={**ass, **FONTS}),
        Case("a file of any type attached", [
            f"{picture()} {X264} -attach notes.txt -metadata:s:t:0 mimetype=text/plain -attach x.bin "
            "-metadata:s:t:1 mimetype=application/octet-stream in.mkv"],
            files={"notes.txt": "Some notes. äöü\n", "x.bin": bytes(range(256)) * 20}),
        Case("covers in mkv", mkv_cover, checks=(holds('"attached_pic": 1'),)),
        Case("a cover in mp4", mp4_cover, source="in.mp4", out="", default="in.4k.mp4",
             checks=(holds('"attached_pic": 1'),)),
        Case("a cover before the video", first, source="in.mp4", out="out.mp4",
             checks=(holds('"attached_pic": 1'),)),
        Case("a cover from mp4 to mkv", mp4_cover, source="in.mp4", checks=(holds('"attached_pic": 1'),)),
        Case("covers from mkv to mp4", mkv_cover, out="out.mp4", lost_tags=("filename", "mimetype")),
        Case("a second, smaller video",
             [f"{picture()} {small} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac in.mkv"]),
        Case("the better video comes second", [
            f"{small} {picture()} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac -disposition:v:0 0 "
            "-disposition:v:1 default in.mkv"]),
        Case("two videos in mp4",
             [f"{picture()} {small} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac in.mp4"],
             source="in.mp4", out="", default="in.4k.mp4"),
        Case("a time code track in mov",
             [f"{picture()} {tone()} {X264} -c:a aac -timecode 01:02:03:04 in.mov"],
             source="in.mov", out="", default="in.4k.mov", checks=(holds('"tmcd"'),)),
        # As a tag of the video: check_tags() compares it.
        Case("a time code track becomes a tag in mkv", [f"{picture()} {X264} -timecode 01:02:03:04 in.mov"],
             source="in.mov", dropped=(1,), checks=(holds('"timecode": "01:02:03:04"'),)),
        Case("a time code track to mkv, dropped",
             [f"{picture()} {tone()} {X264} -c:a aac -timecode 01:02:03:04 "
                                                   "in.mov"],
             source="in.mov", options="--drop data", dropped=(2,)),
    ]


def about():
    """Chapters, tags, languages and flags."""
    chapters = {"c.txt": CHAPTERS, "c5.txt": CHAPTERS_AT_5, "tags.xml": TAGS_XML, "a.srt": SRT, "b.ass": ASS,
                "notes.txt": "notes"}
    told = f"{picture()} {tone()} -i c.txt -map 0 -map 1 -map_metadata 2 -map_chapters 2 {X264} -c:a aac " \
           f"{DEFAULTS} -metadata:s:v title='The picture' -metadata:s:a language=ger -metadata:s:a:0 title=Ton"
    own = "-metadata my_own='x = y; z' -metadata:s:a:0 odd_key=5"
    flags = f"{picture()} {tone(400)} {tone(500)} {tone(600)} -i a.srt -i a.srt -i a.srt " \
            "-map 0 -map 1 -map 2 -map 3 -map 4 -map 5 -map 6 " \
            f"{X264} -c:a aac -disposition:a:0 0 -disposition:a:1 default+original " \
            "-disposition:a:2 comment -disposition:s:0 default+forced -disposition:s:1 hearing_impaired -disposition:s:2 0"
    merged = "mkvmerge -q -o in.mkv --title Segment --global-tags tags.xml --chapters ch.txt " \
             "--language 0:jpn --track-name 0:Bild --default-track-flag 0:yes --commentary-flag 1:yes " \
             "--default-track-flag 1:no --language 1:eng base.mkv --language 0:ger " \
             "--forced-display-flag 0:yes --hearing-impaired-flag 0:yes --track-name 0:Deutsch a.srt " \
             "--language 0:jpn --default-track-flag 0:no b.ass --attachment-mime-type text/plain " \
             "--attachment-name 'A name.txt' --attach-file notes.txt"
    simple_chapters = "CHAPTER01=00:00:00.000\nCHAPTER01NAME=One\n" \
                      "CHAPTER02=00:00:00.300\nCHAPTER02NAME=Zwei ü\n"
    at_5 = f"{picture()} {tone()} -i c5.txt -map 0 -map 1 -map_chapters 2 {X264} -c:a aac -output_ts_offset 5"
    lost = ("my_own", "odd_key")
    return [
        Case("chapters and tags in mkv", [f"{told} {own} in.mkv"], files=chapters,
             checks=(holds("odd_key"),)),
        Case("chapters and tags in mp4", [f"{told} in.mp4"], source="in.mp4", out="", default="in.4k.mp4",
             files=chapters),
        Case("chapters and tags from mp4 to mkv", [f"{told} in.mp4"], source="in.mp4", files=chapters),
        Case("chapters and tags from mkv to mp4", [f"{told} {own} in.mkv"], out="out.mp4", files=chapters,
             lost_tags=lost + ("title",)),
        Case("chapters from mkv to mov", [f"{told} in.mkv"], out="out.mov", files=chapters,
             lost_tags=("title", "artist", "comment")),
        # libavformat moves NUT's packets so that no decoding time is negative, and leaves chapters.
        Case("chapters and tags from mkv to nut", [f"{told} {own} in.mkv"], out="out.nut", files=chapters,
             slack=Fraction(60, 1000)),
        Case("chapters of a file that starts at 5 s", [f"{at_5} in.mkv"], files=chapters,
             checks=(starts_at(4.9, 5.1), starts_at_zero)),
        Case("flags in mkv", [f"{flags} -c:s srt in.mkv"], files=chapters),
        Case("flags in mp4", [f"{flags} -c:s mov_text in.mp4"], source="in.mp4", out="", default="in.4k.mp4",
             files=chapters),
        Case("what mkvmerge writes", [f"{picture()} {tone()} {X264} -c:a aac base.mkv", merged],
             files={**chapters, "ch.txt": simple_chapters}),
        Case("languages in ts", [f"{picture()} {tone(400)} {tone(500)} -map 0 -map 1 -map 2 {X264} -c:a ac3 "
                                 "-metadata:s:a:0 language=eng -metadata:s:a:1 language=deu in.ts"],
             source="in.ts",
             out="", default="in.4k.ts"),
    ]


def tags():
    """Those that a container has no place for, or has in another form, end no run."""
    both = f"{picture(seconds=0.2)} {tone(seconds=0.2)} {X264} -c:a aac {DEFAULTS}"
    files = {"t.xml": tags_xml(ODD_TAGS), "r.xml": tags_xml({"RELEASED IN": "2001", "TRACK": "3", "DATE": "2001"})}
    odd = [f"{both} base.mkv", "mkvmerge -q -o in.mkv --title T --track-name 0:X --global-tags t.xml "
           "--tags 0:t.xml --tags 1:t.xml base.mkv"]
    plain = [f"{both} base.mkv", "mkvmerge -q -o in.mkv --global-tags r.xml base.mkv"]
    time, other = "2015-05-05T05:05:05.000000Z", "2011-11-11T11:11:11.000000Z"
    created = f"-metadata creation_time={time}"
    made = {kind: [f"{both} {created} -metadata title=T in.{kind}"] for kind in ("mp4", "mov")}
    # One track's time is another one.
    two_times = [f"{both} {created} whole.mp4", f"-i whole.mp4 {COPY} -movflags use_metadata_tags {created} in.mkv",
                 f"mkvpropedit -q in.mkv --tags track:2:c.xml"]
    long_ago = f"{both} -metadata creation_time=1930-01-01T00:00:00Z in.mov"
    itunes = f"{both} {created} -metadata track=3/4 -metadata disc=1/2 -metadata media_type=9 -metadata hd_video=1 " \
             "-metadata location=+48.1+011.6/ -metadata lyrics=l -timecode 01:02:03:04 in.mp4"
    keys = f"{both} -movflags use_metadata_tags -metadata 'odd key=1' -metadata com.apple.quicktime.make=A " \
           f"-metadata encoding_tool=x -metadata stereo_mode=left_right {created} in.mov"
    ogg = f"{picture(seconds=0.2)} {tone(seconds=0.2)} -c:v libtheora -c:a libvorbis -metadata 'my key=a' " \
          "-metadata:s:a 'b c=d' in.ogv"
    nut = f"{picture(seconds=0.2)} {tone(seconds=0.2)} {FFV1} -c:a aac -metadata 'my key=a' -metadata a-de=1 " \
          "-metadata title=2 -metadata title-eng=1 -metadata creation_time=nonsense -metadata performer=p " \
          "-metadata:s:a creation_time=2002-02-02 -metadata:s:v stereo_mode=mono -metadata duration=77 in.nut"
    words = {code: [f"{both} -metadata:s:v language={code} -metadata:s:a language={code} in.mkv"]
             for code in ("en", "eng", "de-AT", "fre", "eng,ger", "ENG")}
    kinds = ("mkv", "mp4", "mov", "ts", "nut")
    no_default = lambda kind: ("default",) if kind == "ts" else ()
    return [
        Case("odd tags in mkv", odd, files=files, lost_tags=("twice", "a_b", "encoding_tool", "stereo_mode", "foo", "title"),
             checks=(says("ENCODING_TOOL", "STEREO_MODE of stream 1"), tag_is("A_B", "2"), tag_is("FOO-ger", "b"))),
        *(Case(f"odd tags from mkv to {kind}", odd, files=files, out=f"out.{kind}", lost_tags=Every(),
               slack=Fraction(1, 1000), lost_flags=no_default(kind), checks=(says("can't hold these tags"),))
          for kind in kinds[1:]),
        *(Case(f"{kind} with a creation time to mkv", made[kind], source=f"in.{kind}",
               checks=(tag_is("creation_time", time), says_no("creation_time"))) for kind in made),
        Case("a creation time of one track to mkv", two_times, files={"c.xml": tags_xml({"CREATION_TIME": other})},
             checks=(tag_is("creation_time", time), says("CREATION_TIME of stream 1"), says_no("of stream 0"))),
        Case("a creation time of one track to mp4", two_times, files={"c.xml": tags_xml({"CREATION_TIME": other})},
             out="out.mp4", checks=(tag_is("creation_time", time), says("CREATION_TIME of stream 1"))),
        Case("a creation time long ago", [long_ago], source="in.mov",
             checks=(same_creation_time,)),
        Case("what iTunes tells, in mkv", [itunes], source="in.mp4", dropped=(2,),
             checks=(tag_is("PART_NUMBER", None), tag_is("track", "3/4"))),
        Case("what iTunes tells, in mp4", [itunes], source="in.mp4", out="out.mp4", checks=(tag_is("track", "3/4"),)),
        Case("keys of QuickTime in mkv", [keys], source="in.mov", lost_tags=("encoding_tool", "stereo_mode"),
             checks=(tag_is("ODD_KEY", "1"), says("encoding_tool", "stereo_mode"))),
        Case("tags from ogv to mkv", [ogg], source="in.ogv", checks=(holds("b c"),)),
        Case("tags from nut to mkv", [nut], source="in.nut", lost_tags=("stereo_mode", "a-de", "title"),
             checks=(tag_is("MY_KEY", "a"), tag_is("A-ger", "1"))),
        *(Case(f"language {code} to {kind}", words[code], out=f"out.{kind}", lost_tags=("language",),
               lost_flags=no_default(kind)) for code in words for kind in kinds[1:4]),
        Case("what mkvmerge writes, to ts", plain, files=files, out="out.ts", lost_tags=Every(),
             lost_flags=("default",), slack=Fraction(1, 1000)),
    ]


def times():
    h264 = f"{X264} -c:a aac"
    both = f"{picture()} {tone()} -map 0 -map 1"
    vfr = f"{picture(more=UNEVEN)} {tone()} {h264} -vsync passthrough"
    raw = f"{picture()} {X264} raw.h264"
    same_lossless = f"{picture()} {FFV1} ref.mkv"
    rates = [Case(f"{rate} frames a second in {kind}", [
        f"{picture(rate=rate)} {tone()} {h264} in.{kind}"], source=f"in.{kind}", out="",
                  default=f"in.4k.{kind}")
        for rate, kind in (("24000/1001", "mkv"), ("24000/1001", "mp4"), ("30000/1001", "ts"),
                           ("60000/1001", "mkv"), ("12.5", "mov"), ("12.5", "mkv"))]
    return rates + [
        Case("uneven frames in mkv", [f"{vfr} in.mkv"], checks=(irregular,)),
        Case("uneven frames in mp4", [f"{vfr} -video_track_timescale 90000 in.mp4"], source="in.mp4",
             out="out.mp4",
             checks=(irregular,)),
        Case("uneven frames from mkv to ts", [f"{vfr} in.mkv"], out="out.ts", checks=(irregular,),
             lost_flags=("default",)),
        Case("a raw stream without times", [raw, same_lossless], source="raw.h264", reference="ref.mkv"),
        Case("b-frames in avi", [f"{picture()} {tone()} {X264} -c:a mp3 in.avi", same_lossless],
             source="in.avi",
             reference="ref.mkv"),
        Case("a start at 5 s in mkv", [f"{both} {h264} -output_ts_offset 5 in.mkv"],
             checks=(starts_at(4.9, 5.1), starts_at_zero)),
        Case("a start at 100 s in ts to mkv", [f"{both} {h264} -output_ts_offset 100 in.ts"], source="in.ts",
             checks=(starts_at(100, 103), starts_at_zero)),
        Case("a start before 0 in mkv", [f"{both} {FFV1} -c:a pcm_s16le -output_ts_offset -0.2 "
                                         "-avoid_negative_ts disabled in.mkv"],
             checks=(starts_at(-0.3, -0.1),)),
        Case("an edit list in mp4", [f"{picture(seconds=1.2)} {tone(seconds=1.2)} {h264} -g 100 whole.mp4",
                                     f"-ss 0.5 -i whole.mp4 {COPY} in.mp4"], source="in.mp4", out="out.mp4"),
        Case("an edit list in mp4 to mkv",
             [f"{picture(seconds=1.2)} {tone(seconds=1.2)} {h264} -g 100 whole.mp4",
                                            f"-ss 0.5 -i whole.mp4 {COPY} in.mp4"], source="in.mp4"),
        Case("an edit list that delays the sound", [
            f"{picture()} -itsoffset 0.25 {tone(seconds=0.5)} {h264} in.mp4"], source="in.mp4",
             out="out.mp4"),
        Case("an edit list that delays the picture", [
            f"-itsoffset 0.25 {picture()} {tone(seconds=1)} -map 0 -map 1 {h264} in.mp4"], source="in.mp4",
            out="out.mp4"),
        Case("one frame", [f"{picture(seconds=0.04)} {X264} in.mkv"]),
        Case("one frame with sound in mp4", [f"{picture(seconds=0.04)} {tone()} {h264} in.mp4"],
             source="in.mp4",
             out="out.mp4"),
        Case("sound longer than the picture", [f"{picture()} {tone(seconds=3)} {h264} in.mkv"]),
        Case("sound shorter than the picture", [f"{picture(seconds=1)} {tone(seconds=0.3)} {h264} in.mkv"]),
        Case("sound that starts late",
             [f"{picture(seconds=1)} -itsoffset 0.5 {tone(seconds=0.4)} {h264} in.mkv"]),
        Case("sound that starts first", [f"-itsoffset 0.4 {picture()} {tone(seconds=1)} -map 0 -map 1 {h264} "
                                         "in.mkv"]),
        Case("a hole in the middle", [
            f"{picture(more=HOLE)} {tone()} {h264} -vsync passthrough in.mkv"]),
        Case("one frame every two seconds",
             [f"{picture(rate='0.5', seconds=10)} {tone(seconds=10)} {h264} in.mkv"]),
    ]


def fields():
    """Interlaced and telecined sources, and other filters."""
    woven = picture(rate=50, more="tinterlace=interleave_top,setfield=tff")
    woven_bff = picture(rate=50, more="tinterlace=interleave_bottom,setfield=bff")
    reference = f"-i in.mkv -vf bwdif=mode=send_frame:deint=interlaced {FFV1} -an ref.nut"
    plain = f"-i in.mkv {FFV1} -an ref.nut"
    tff, bff = f"{MPEG2} -flags +ilme+ildct -top 1", f"{MPEG2} -flags +ilme+ildct -top 0"
    film = picture(size="720x480", rate="24000/1001", seconds=1)
    telecined = f"{film[:-1]},telecine=pattern=23,setfield=tff\" -r 30000/1001"
    flagged = holds('"interlaced_frame": 1')
    vfr = picture(more=UNEVEN)
    times_of_film = (steady(Fraction(1001, 24000)),)
    return [
        Case("interlaced mpeg2, top field first", [f"{woven} {tone()} {tff} -c:a mp2 in.mkv", reference],
             reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("interlaced mpeg2, bottom field first",
             [f"{woven_bff} {tone()} {bff} -c:a mp2 in.mkv", reference],
             reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("interlaced mpeg2 in ts", [f"{woven} {tone()} {tff} -c:a mp2 in.mkv", reference,
                                        f"-i in.mkv {COPY} in.ts"], source="in.ts", out="",
             default="in.4k.ts",
             reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("interlaced h264",
             [f"{woven} {tone()} {X264} -flags +ilme+ildct -top 1 -c:a aac in.mkv", reference],
             reference="ref.nut", checks=(flagged, fine_pictures, holds('"field_order": "tt"'))),
        # ffmpeg isn't told that libx264 was, and says so in the container.
        Case("interlaced h264 in a container that says progressive", [
            f"{woven} {tone()} {X264} -x264-params tff=1 -c:a aac in.mkv", reference], reference="ref.nut",
            checks=(flagged, fine_pictures, holds('"field_order": "progressive"'))),
        Case("interlaced, left as it is", [f"{woven} {tone()} {tff} -c:a mp2 in.mkv", plain],
             options="--deinterlace off", reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("telecined mpeg2 back to film", [f"{telecined} {tff} -g 12 in.mkv", f"{film} {FFV1} ref.nut"],
             options="--ivtc", reference="ref.nut", checks=times_of_film),
        Case("telecined ffv1 back to film", [f"{telecined} {FFV1} in.mkv", f"{film} {FFV1} ref.nut"],
             options="--ivtc", reference="ref.nut", checks=times_of_film),
        Case("cropped before the network", [f"{picture()} {tone()} {X264} -c:a aac in.mkv",
                                            f"-i in.mkv -an -vf crop=64:48:16:8 {FFV1} ref.nut"],
             options="--vf crop=64:48:16:8", reference="ref.nut", size="128x96"),
        Case("a chain of filters", [f"{picture()} {tone()} {X264} -c:a aac in.mkv",
                                    f"-i in.mkv -an -vf crop=64:48:16:8,hflip {FFV1} ref.nut"],
             options="--vf crop=64:48:16:8,hflip", reference="ref.nut", size="128x96"),
        Case("made even by --fps", [f"{vfr} {tone()} {X264} -c:a aac -vsync passthrough in.mkv",
                                    f"-i in.mkv -an -vf fps=25 {FFV1} ref.nut"],
             options="--fps 25", reference="ref.nut", slack=Fraction(1, 50), checks=(irregular, steady(Fraction(1, 25)))),
        Case("av1", [f"{picture()} {tone()} {X264} -c:a aac in.mkv"], encoder="libsvtav1", options="--crf 30"),
        Case("av1 in mp4", [f"{picture()} {tone()} {X264} -c:a aac in.mp4"], source="in.mp4", encoder="libsvtav1",
             options="--crf 30", out="out.mp4"),
        Case("fine lines", [f"-f lavfi -i \"color=s=96x64:r=25:d=0.6,geq=lum='if(lt(mod(Y,4),2),16,235)':cb=128:cr=128\" {FFV1} in.mkv"]),
        Case("sound beside a picture of another rate", [f"{picture(seconds=4)} {tone(seconds=4)} {X264} -c:a aac in.mkv",
                                                        f"-i in.mkv -an -vf fps=10 {FFV1} ref.nut"],
             options="--fps 10", reference="ref.nut", slack=Fraction(1, 20), checks=(interleaved,)),
    ]


def formats():
    """Pixel formats, each to its 10 or 12 bit sibling."""
    lossless = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le",
                "yuv422p12le", "yuv444p12le", "yuv411p", "gray", "gray10le", "gbrp10le", "bgr0")
    rawvideo = ("nv12", "yuyv422", "uyvy422", "bgr0", "rgb24", "gray")
    cases = [Case(f"{pix} in ffv1", [f"{picture(pix=pix, seconds=0.4)} {FFV1} in.mkv"],
                  checks=(holds(f'"pix_fmt": "{pix}"'),)) for pix in lossless]
    cases += [Case(f"{pix} in rawvideo", [f"{picture(pix=pix, seconds=0.4)} -c:v rawvideo in.nut"],
                   source="in.nut",
                   checks=(holds(f'"pix_fmt": "{pix}"'),)) for pix in rawvideo]
    odd = [Case(f"67x45 {pix}", [f"{picture(size='67x45', pix=pix, seconds=0.4)} {FFV1} in.mkv"],
                size="134x90")
           for pix in ("yuv420p", "yuv422p", "yuv444p", "gbrp", "gray")]
    alpha = [f"{picture(pix='yuva420p', seconds=0.4)} {FFV1} in.mkv"]
    raw = [Case(f"{pix} without a container", [f"{picture(pix=pix)} -f rawvideo in.yuv",
                                               f"{picture(pix=planar)} {FFV1} same.mkv"],
                source="in.yuv", same="same.mkv", options=f"--size 96x64 --pix-fmt {pix} --fps 25")
           for pix, planar in (("yuv420p", "yuv420p"), ("p010le", "yuv420p10le"), ("nv12", "yuv420p"))]
    return cases + odd + raw + [
        Case("gbrp in h264",
             [f"{picture(pix='gbrp', seconds=0.4)} -c:v libx264rgb -preset ultrafast -qp 0 in.mkv"],
             checks=(holds('"pix_fmt": "gbrp"'),)),
        Case("rgb24 in png", [f"{picture(pix='rgb24', seconds=0.4)} -c:v png in.mkv"]),
        Case("yuvj420p in mjpeg", [f"{picture(pix='yuvj420p', seconds=0.4)} -c:v mjpeg -q:v 2 in.mkv"]),
        Case("prores 4:2:2 10 bit in mov",
             [f"{picture(pix='yuv422p10le')} -c:v prores_ks -profile:v 3 in.mov"],
             source="in.mov", out="out.mkv"),
        Case("alpha is refused", alpha, refused=(0,)),
        Case("alpha is dropped", alpha, options="--drop alpha"),
    ]


def colours():
    tags = {
        "601, 525 lines": "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m",
        "601, 625 lines": "-colorspace bt470bg -color_primaries bt470bg -color_trc gamma28",
        "709": "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv",
        "709, full range": "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range pc",
        "hlg": "-colorspace bt2020nc -color_primaries bt2020 -color_trc arib-std-b67 -color_range tv",
        "sRGB transfer": "-colorspace bt709 -color_primaries bt709 -color_trc iec61966-2-1",
    }
    ten = {"hlg": "yuv420p10le"}
    tagged = [Case(f"tags: {name} in {kind}",
                   [f"{picture(pix=ten.get(name, 'yuv420p'))} {codec} {words} in.{kind}"],
                   source=f"in.{kind}", out=f"out.{kind}")
              for name, words in tags.items() for kind, codec in (("mkv", FFV1), ("mp4", X264))]
    siting = [Case(f"tags: chroma is {place}", [f"{picture()} {X264} -x264-params chromaloc={number} in.mkv"],
                   checks=(holds(f'"chroma_location": "{place}"'),))
              for place, number in (("left", 0), ("center", 1), ("topleft", 2))]
    hdr = '-c:v libx265 -preset ultrafast -x265-params "log-level=error:pools=none:colorprim=bt2020:' \
          'transfer=smpte2084:colormatrix=bt2020nc:chromaloc=2:hdr10=1:max-cll=1000,400:master-display=' \
          'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"'
    hdr10 = f"{picture(pix='yuv420p10le', seconds=0.4)} {hdr}"
    light = holds("Mastering display", "Content light")
    charts = []
    for matrix, primaries, transfer in (("smpte170m", "smpte170m", "smpte170m"), ("bt709", "bt709", "bt709"),
                                        ("bt2020nc", "bt2020", "bt2020-10")):
        for full in (False, True):
            for depth in (8, 10):
                pix = "yuv420p" if depth == 8 else "yuv420p10le"
                charts.append(Case(
                    f"chart: {matrix}, {'full' if full else 'limited'}, {depth} bit",
                    [chart(matrix, full, depth),
                     f"-f rawvideo -s 96x96 -r 25 -pix_fmt {pix} -i chart.yuv {FFV1} -colorspace {matrix} "
                     f"-color_primaries {primaries} -color_trc {transfer} "
                     f"-color_range {'pc' if full else 'tv'} in.mkv"], encoder="ffv1", checks=(check_chart(full, depth),)))
    ramps = [Case(f"full range in {pix}", [
        ramp(pix), f"-f rawvideo -s 256x32 -r 25 -pix_fmt {pix} -color_range pc -i ramp.raw -c:v rawvideo "
        f"-allow_raw_vfw 1 -color_range pc in.mkv"], encoder="ffv1", checks=(check_ramp, holds('"pc"', pix)))
        for pix in ("yuyv422", "uyvy422", "nv12")]
    return tagged + siting + charts + ramps + [
        Case("nothing tagged stays so", [f"{picture()} {X264} in.mp4"], source="in.mp4", out="out.mp4"),
        Case("hdr10 in mkv", [f"{hdr10} in.mkv"], checks=(light,)),
        Case("hdr10 in mp4", [f"{hdr10} in.mp4"], source="in.mp4", out="out.mp4", checks=(light,)),
        Case("hdr10 from mkv to mp4", [f"{hdr10} -disposition:v:0 default in.mkv"], out="out.mp4",
             checks=(light,)),
        Case("hdr10 in ts", [f"{hdr10} in.ts"], source="in.ts", out="out.ts", checks=(light,)),
    ]


def shapes():
    """Pixels that aren't square, and pictures that are turned."""
    def turned(degrees):
        return [f"{picture()} {tone()} {X264} -c:a aac whole.mp4",
                f"-i whole.mp4 {COPY} -metadata:s:v rotate={degrees} in.mp4"]
    matrix = holds("displaymatrix")
    return [
        Case("pixels of 16:15", [f"{picture(more='setsar=16/15')} {X264} in.mkv"], checks=(holds("16:15"),)),
        Case("pixels of 8:9 in mp4", [f"{picture(more='setsar=8/9')} {X264} in.mp4"], source="in.mp4",
             out="out.mp4",
             checks=(holds("8:9"),)),
        Case("pixels of 64:45 in ts", [f"{picture(more='setsar=64/45')} {X264} in.ts"], source="in.ts",
             out="out.ts",
             checks=(holds("64:45"),)),
        Case("turned by 90 in mp4", turned(90), source="in.mp4", out="", default="in.4k.mp4",
             checks=(matrix,)),
        Case("turned by 180 from mp4 to mov", turned(180), source="in.mp4", out="out.mov", checks=(matrix,)),
        *(Case(f"turned by {n} from mp4 to mkv", turned(n), source="in.mp4", turned=True, checks=(matrix,))
          for n in (90, 180, 270)),
        Case("turned with pixels of 4:3 to mkv", [
            f"{picture(more='setsar=4/3')} {X264} whole.mp4",
            f"-i whole.mp4 {COPY} -metadata:s:v rotate=90 in.mp4"],
            source="in.mp4", turned=True, sar="3:4", checks=(matrix,)),
    ]


def choices():
    """--audio, --subs, --drop, and what is refused."""
    texts = {"a.srt": SRT, "b.ass": ASS, "p.sup": PGS, **dict(list(FONTS.items())[:2])}
    languages = "-metadata:s:a:0 language=jpn -metadata:s:a:1 language=eng -metadata:s:a:2 language=ger " \
                "-metadata:s:s:0 language=eng -metadata:s:s:1 language=jpn"
    cover = f"{picture(size='64x64', seconds=0.04)} -frames:v 1 -pix_fmt rgb24 cover.png"
    # 0 video, 1-3 audio, 4-5 subtitles, 6-7 fonts, 8 cover.
    full = [cover,
            f"{picture()} {tone(400)} {tone(500)} {tone(600)} -i a.srt -i b.ass -map 0 -map 1 -map 2 -map 3 "
            f"-map 4 -map 5 {X264} -c:a aac {DEFAULTS} -c:s:0 srt -c:s:1 ass {languages} "
            f"{attach(list(FONTS)[:2])} -attach cover.png -metadata:s:t:2 mimetype=image/png in.mkv"]
    small = [f"{picture()} {picture(size='48x32')} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac in.mkv"]
    flac = [f"{picture()} {tone()} {tone(600)} -map 0 -map 1 -map 2 {X264} -c:a:0 flac -c:a:1 aac in.mkv"]
    captioned = [f"{picture(seconds=1)} {X264} -bf 0 plain.h264", add_captions("plain.h264", "cc.h264"),
                 f"-r 25 -i cc.h264 {X264} -a53cc 1 in.mkv"]

    announced = [f"{picture()} {picture(size='48x32')} {tone()} -map 0 -map 1 -map 2 {X264} -c:a mp2 full.ts",
                 silence("full.ts", "in.ts", 0x101, 0x102)]

    def option(options, dropped):
        return Case(options, full, options=options, dropped=dropped, files=texts)
    return [
        option("--audio none", (1, 2, 3)), option("--audio jpn", (2, 3)), option("--audio ger,jpn", (2,)),
        option("--audio all --subs all", ()), option("--subs none", (4, 5)), option("--subs jpn", (4,)),
        option("--audio eng --subs eng", (1, 3, 5)), option("--drop 3", (3,)), option("--drop 2,5", (2, 5)),
        option("--drop attachments", (6, 7)), option("--drop cover", (8,)),
        option("--drop attachments,cover,1 --subs none", (1, 4, 5, 6, 7, 8)),
        Case("--drop video", small, options="--drop video", dropped=(1,)),
        Case("mkv with ass and fonts to mp4 is refused", full, out="out.mp4", refused=(4, 5, 6, 7),
             files=texts),
        Case("mkv with ass and fonts to mp4, unsupported ones dropped", full, out="out.mp4", files=texts,
             options="--drop unsupported", dropped=(4, 5, 6, 7), lost_tags=("filename", "mimetype")),
        Case("flac to ts is refused", flac, out="out.ts", refused=(1,)),
        Case("flac to ts, dropped by number", flac, out="out.ts", options="--drop 1", dropped=(1,),
             lost_flags=("default",)),
        Case("streams that never come are refused", announced, source="in.ts", refused=(1, 2)),
        Case("a sound that never comes is refused by ts", announced, source="in.ts", out="out.ts", refused=(2,)),
        Case("streams that never come are dropped", announced, source="in.ts", options="--drop unsupported",
             dropped=(1, 2)),
        Case("srt to ts is refused",
             [f"{picture()} -i a.srt -i a.srt -map 0 -map 1 -map 2 {X264} -c:s srt in.mkv"],
             out="out.ts", refused=(1, 2), files=texts),
        Case("captions are kept by libx264", captioned, encoder="libx264", checks=(has_captions(True),)),
        Case("captions are refused by libx265", captioned, refused=(0,)),
        Case("captions are dropped", captioned, options="--drop captions", checks=(has_captions(False),)),
    ]


def names():
    def named(name, out):
        return Case(f"a file named {name}", [f"{picture(seconds=0.4)} {X264} in.mkv", rename("in.mkv", name)],
                    source=name, out="", default=out)
    return [named("with spaces & 'quotes' \"x\".mkv", "with spaces & 'quotes' \"x\".4k.mkv"),
            named("日本語 – Folge 01 [äöü].mkv", "日本語 – Folge 01 [äöü].4k.mkv"),
            named("50% of: %d #1?.mkv", "50% of: %d #1?.4k.mkv"),
            named("-q.mkv", "-q.4k.mkv")]


def rename(old, new):
    return lambda work: (work / old).rename(work / new)


def all_cases():
    parts = (containers, sounds, subtitles, attachments, about, tags, times, fields, formats, colours, shapes,
             choices,
             names)
    return [case for part in parts for case in part()]

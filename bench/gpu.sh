#!/usr/bin/env bash
# What only a GPU can show: training with AMP, going on after SIGKILL, a lack of memory, TensorRT. Under 8 minutes in all.
#
#     bench/gpu.sh                          # in a checkout with its .venv, on a machine with one NVIDIA GPU
#     DEVICE=cpu FORMAT=onnx bench/gpu.sh   # the same without one, to see that the script works; `memory` is skipped
#
# reads   params.yaml; draws a part of the sample and works in a temporary folder
# writes  runs/bench/gpu.json, and the same as a table; exit code 1 if a part failed
#
# It has never run on a GPU: with DEVICE=cpu all but `memory` was seen to work, and nothing is known beyond that.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$root PATH=$root/.venv/bin:$PATH DEVICE=${DEVICE:-0} FORMAT=${FORMAT:-engine}
slack=${SLACK:-$([ "$DEVICE" = cpu ] && echo 3 || echo 1)} # how many times longer than on a GPU a part may take
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stage() { # "MODULE [ARGUMENT ...]" [KEY=VALUE ...]: a stage of the product with the settings that all parts share
    local words=$1 settings=()
    shift
    for setting in data.path=data/sample baseline.weights=models/tiny-seg.yaml \
        sample.num_train=288 sample.num_val=64 sample.num_test=96 \
        train.device="$DEVICE" train.amp=true train.workers=0 \
        gate.confidence=null gate.min_gain=-0.99 gate.max_class_drop=null gate.max_metric_drop=null \
        export.formats="[$FORMAT]" export.max_map_drop=0.02 "$@"; do
        settings+=(--set "$setting")
    done
    # shellcheck disable=SC2086 # several words
    exec python -m $words "${settings[@]}"
}

skip() {
    echo "$1"
    exit 77
}

# The parts. Each prints its figures in one line.

part_sample() { # the dataset, checked
    (stage tasks.sample) && (stage tasks.validate) && echo "$(find data/sample -name '*.jpg' | wc -l) images"
}

part_training() { # seven epochs with AMP
    (stage "tasks.train baseline") && python -m bench.gpu trained "$DEVICE"
}

part_resume() { # the same once more, killed after two epochs: the weights must be those of the uninterrupted run
    [ -d models/baseline ] || skip "nothing was trained"
    rm -rf models/whole && mv models/baseline models/whole
    (stage "tasks.train baseline") &
    until [ -f runs/baseline/state.previous.pt ]; do
        kill -0 $! && sleep 0.1 || { echo "it ended before it was killed" && exit 1; }
    done
    kill -KILL $! && wait $!
    (stage "tasks.train baseline") && python -m bench.gpu compare "$DEVICE"
}

part_export() { # fine-tune, evaluation and gate, then the candidate in another runtime against the .pt
    python -m bench.gpu available "$FORMAT" || exit 77 # says what is missing
    [ -d models/baseline ] || skip "nothing was trained"
    printf 'name: detector\nversion: null\n' >champion.yaml
    python -c 'from tasks.common.lineage import Lineage; Lineage(None).write()'
    (stage "tasks.train finetune") && (stage tasks.evaluate) && (stage tasks.gate) && (stage tasks.export) &&
        python -m bench.gpu exported "$FORMAT"
}

part_memory() { # an epoch with a large batch, then with three quarters of the memory that it took: half the batch must do
    [ "$DEVICE" != cpu ] || skip "needs a GPU"
    local share large=(train.batch=256 train.imgsz=320 baseline.epochs=1 baseline.warmup_epochs=0)
    share=$(stage "bench.gpu capped 1" "${large[@]}" | tail -n 1) || exit 1 # Ultralytics' warnings are printed before it
    (stage "bench.gpu capped $share" "${large[@]}") >/dev/null && python -m bench.gpu halved
}

part() { # NAME LIMIT_S
    local code begin=$SECONDS limit_s=$(($2 * slack)) figures result=FAIL
    figures=$(cd "$work" && timeout -k 5 "$limit_s" bash -uo pipefail -c "part_$1" 2>"$work/log")
    code=$?
    case $code in
    0) result=PASS ;;
    77) result=SKIP ;;
    124 | 137) figures="not done after $limit_s s" ;;
    esac
    if [ $result = FAIL ]; then
        tail -n 20 "$work/log" >&2
        figures=${figures:-$(grep -m 1 '^error:' "$work/log" || tail -n 1 "$work/log")}
    fi
    printf '%s\t%s\t%s\t%s\n' "$1" $result $((SECONDS - begin)) "$(tail -n 1 <<<"$figures")" | tee -a "$work/parts" >&2
}

mkdir -p "$work/models" && cp "$root"/{params,expectations}.yaml "$work" && cp "$root/models/tiny-seg.yaml" "$work/models"
export -f stage skip part_sample part_training part_resume part_export part_memory
part sample 50
part training 70
part resume 90
part export 190
part memory 70
cd "$root" && python -m bench.gpu summary "$DEVICE" <"$work/parts"

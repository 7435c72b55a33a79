"""
과제: CNN 하나와 MobileNet 셋
=============================

과제의 내용은 다음과 같습니다.

1. Fashion-MNIST를 분류하는 합성곱 신경망(convolutional neural network, CNN)을 정의하고, 학습시키고, 평가합니다.
2. ImageNet으로 사전 학습(pre-training)된 MobileNet을 가져옵니다. 특징 추출기(feature extractor)는 그대로 두고, 클래스 1,000개용 출력층을
   10개용으로 바꾸어 그 층만 학습시킵니다(2a). 이어서 네트워크 전체를 미세 조정(fine-tuning)합니다(2b). 마지막으로 비어 있는 MobileNet,
   곧 사전 학습되지 않은 MobileNet을 처음부터 학습시킵니다(2c).
3. 테스트 정확도(accuracy)와 손실(loss) 등을 비교하고, 토의하고, 결과를 GitHub 이슈에 댓글로 올립니다.

무엇이든 바꾸어 보아도 좋습니다. 다만 한 가지 규칙은 지켜야 합니다. 학습은 학습 데이터(training data)로, 선택은 검증 데이터(validation
data)로 하고, 테스트 데이터(test data)는 맨 마지막에 한 번만 봅니다.
"""

import transferkit as tk

# 학습 결과는 이 폴더에 저장됩니다. 셀을 다시 실행하면 이미 끝난 학습은 되풀이하지 않고 불러옵니다.
folder = "my_homework"
# sphinx_gallery_start_ignore
# While the site is built: the finished runs that examples/assignment.py made.
folder = "../../docs/results/quick"
# sphinx_gallery_end_ignore

# %%
# 노트북에서 직접 실행하면 프로세서 코어 두 개로 네 번의 학습에 모두 7분쯤 걸리고, GPU가 있으면 더 빨리 끝납니다. 이 페이지는 같은
# 코드로 미리 학습해 둔 ``docs/results/quick`` 의 결과를 보여 줍니다. 그래서 아래에 *finished run
# found* (끝난 학습을 찾았음)라는 말이 나옵니다. 여러분의 숫자는 조금 다를 것입니다. 컴퓨터마다 반올림이 다르고, 사전 학습된
# 가중치(weight) 파일이 다를 수도 있기 때문입니다.
#
# 데이터
# ------
#
# 클래스마다 학습 이미지 100장을 쓰고, 가장 좋은 에포크(epoch)는 검증 이미지 500장으로 고르며, 테스트 이미지는
# 10,000장을 모두 씁니다. 학습 이미지가 이렇게 적을 때 사전 학습의 효과가 가장 클 것으로 기대할 수 있습니다. (나중에는
# ``tk.load_fashion_mnist()`` 로 50,000장을 써 보십시오. 한 폴더에는 이름마다 결과가 하나만 들어가므로 ``folder`` 를 바꿔야
# 하고, GPU가 없으면 몇 시간이 걸립니다.)

data = tk.load_fashion_mnist(labels_per_class=100, validation=500)
print(data)

_ = tk.plot_samples(data)

# %%
# 모든 층을 학습시키는 세 모델은 몇 가지 설정을 같이 씁니다. 결과의 차이가 되도록 학습 방법이 아니라 모델에서 오게 하려는 것입니다.
# (에포크 수와 학습률은 다르며, 보고서도 그렇게 밝힙니다.) 이미지는
# 무작위로 좌우를 뒤집고(데이터 증강, data augmentation), 정답은 조금 부드럽게 하며(레이블 스무딩, label smoothing),
# 학습률(learning rate)은 코사인 곡선을 따라 줄입니다. 이미지가 이렇게 적으면 배치(batch)도 작아야 합니다. 그렇지 않으면
# 가중치를 갱신하는 횟수가 너무 적습니다. 이 설정들은 *검증* 이미지로, 네트워크마다 많아야 여덟 가지 가운데서 골랐습니다
# (``tuning_trials``\ 에 기록됩니다).

kept = {"seed": 0, "folder": folder, "tuning_trials": 8}
recipe = {"schedule": "cosine", "label_smoothing": 0.1, "augment": "flip", "batch_size": 32, **kept}

# %%
# 1단계. 처음부터 학습하는 CNN
# ----------------------------
#
# 강의에서 본 네트워크입니다. 5x5 합성곱 층(convolutional layer) 둘이 있고 그 뒤마다 최대 풀링(max
# pooling)이 옵니다. 이어서 드롭아웃(dropout)이 있는 완전 연결 층(dense layer)을 거쳐 출력 10개가 나옵니다.

tk.build_cnn().summary(line_length=72)

# %%

model = tk.build_cnn()
cnn = tk.train(model, data, epochs=60, name="CNN", **recipe)
print(cnn)

# %%
# *관찰:* 위에 나온 정확도와 손실은 테스트 이미지로 잰 값입니다. 아래 그림의 학습 곡선은 드롭아웃과 데이터 증강을 켠 채로 재기
# 때문에 검증 곡선보다 *아래* 에 있을 수 있습니다. 마지막 에포크에서도 검증 곡선이 아직 올라가고 있습니까?
#
# (그림의 글자가 영어로 나오면 컴퓨터에 한글 글꼴이 없는 것입니다. Colab에서는 ``!apt-get -qq install fonts-nanum`` 을
# 실행한 뒤 런타임을 다시 시작하십시오.)

_ = tk.plot_curves(cnn, language="ko")

# %%
# 2a단계. 동결한 MobileNet: 새 출력층만 학습
# ------------------------------------------
#
# ``build_transfer_model`` 은 MobileNet에서 원래의 출력층(가중치 1024 x 1000개와 편향 1000개)을
# 뺀 나머지를 불러와 모두 동결(freezing)하고, 클래스 10개용 출력층을 새로 붙입니다. 동결한 층은 학습하는 동안 값이 바뀌지
# 않습니다. 이미지를 64픽셀로 키우고, 흑백을 세 채널로 만들고, MobileNet에 맞게 -1에서 1 사이로 바꾸는 일도 모두 모델
# 안의 층이 합니다. 그래서 이 모델에는 CNN과 똑같은 이미지를 넣으면 됩니다.

network = tk.build_transfer_model("mobilenet", pretrained=True, freeze=True)
print(f"특징 추출기: 파라미터 {network.get_layer('backbone').count_params():,}개, 모두 동결")
print(f"새 출력층: 파라미터 {network.get_layer('predictions').count_params():,}개 = 1024 x 10 + 10")
print(f"원래 출력층: 파라미터 {1024 * 1000 + 1000:,}개")

# %%
# 동결한 네트워크는 같은 이미지에 대해 언제나 같은 값을 냅니다. 그래서 특징(feature)을 이미지마다 한 번만 계산해 저장해 두고
# 씁니다. 세 MobileNet 가운데 이 학습이 가장 빠른 까닭입니다. 사전 학습된 네트워크를 몇 에포크 학습시킬지는 라이브러리가 이미지
# 수를 보고 정하며, 여기서는 10에포크입니다.

model = tk.build_transfer_model("mobilenet", pretrained=True, freeze=True)
frozen = tk.train(model, data, name="MobileNet, frozen", **kept)
print(frozen)

# %%
# 2b단계. 같은 네트워크의 미세 조정
# ---------------------------------
#
# 먼저 새 출력층만 학습시키고, 그다음에 학습률을 낮추어 모든 층을 학습시킵니다. 이 순서가 중요합니다. 갓 만든 출력층은
# 무작위 값이라서, 처음부터 모든 층을 학습시키면 거기서 나오는 큰 오차가 사전 학습된 층의 지식을 망가뜨립니다. 이미지가 이렇게 적을
# 때는 출력층을 정확하게 계산하고(특징에 대한 로지스틱 회귀이며, 한 에포크로 셉니다), 배치 정규화(batch normalization)는 ImageNet에서
# 배운 값을 그대로 두며, 이어서 15에포크를 학습시킵니다.

model = tk.build_transfer_model("mobilenet", pretrained=True)
fine_tuned = tk.fine_tune(model, data, name="MobileNet, fine-tuned", **recipe)
print(fine_tuned)

# %%
# 2c단계. 같은 네트워크를 처음부터 학습
# -------------------------------------
#
# 층은 똑같지만 가중치가 모두 무작위인, *비어 있는* MobileNet입니다. 2b가 이보다
# 나은 만큼의 대부분은 사전 학습의 몫이겠지만, 에포크 수와 학습 단계도 다릅니다.

model = tk.build_transfer_model("mobilenet", pretrained=False)
scratch = tk.train(model, data, epochs=15, name="MobileNet, from scratch", **recipe)
print(scratch)

# %%
# 3단계. 비교
# -----------

runs = [cnn, frozen, fine_tuned, scratch]
comparison = tk.compare_runs(runs, baseline="CNN")
print(comparison.sentence(language="ko"))

# %%
# 먼저 답부터 보았습니다. 전이 학습이 도움이 되었는지, 미세 조정할 만했는지, 가장 정확한 모델이 CNN보다 나은지를 신뢰구간,
# 검정, 비용과 함께 보여 줍니다. 이제 그 근거가 되는 숫자를 봅니다.

table = comparison.table
print(
    (table[["accuracy", "accuracy_low", "accuracy_high", "difference", "f1_macro", "overfit_gap"]] * 100)
    .round(2)
    .to_string()
)

# %%
# 단위는 모두 퍼센트이며, 차이와 격차는 퍼센트포인트(%p)입니다. *관찰:* ``accuracy_low`` 와
# ``accuracy_high`` 는 95% 신뢰구간(confidence interval)의 양 끝입니다. 테스트 이미지 10,000장은 많아
# 보이지만, 그래도 위아래로 1%p 가까이 불확실합니다. 다음은 손실과 비용입니다.

print(table[["loss", "parameters", "trainable_parameters", "train_seconds", "epochs"]].round(3).to_string())

# %%
# 같은 내용을 그림으로 보고, 네 모델의 학습 곡선도 함께 봅니다. *관찰:* 끝나는 곳에서 아직 올라가고 있는 곡선은 어느 것입니까?

_ = comparison.plot(language="ko")

# %%
# 어떤 차이가 진짜일까요? 두 모델씩 짝지어 같은 테스트 이미지로 검정합니다(McNemar 정확 검정, 여섯 쌍에 대해 보정). 판단
# 보류(*undecided*)는 같다는 뜻이 아닙니다. ``detectable`` 보다 작은 차이는 실제로 있어도 찾아내지 못할 수
# 있다는 뜻입니다.

pairs = comparison.tests[["a", "b", "difference", "detectable", "p_holm", "verdict"]].copy()
pairs[["difference", "detectable"]] = (100 * pairs[["difference", "detectable"]]).round(2)
print(pairs.round(3).to_string(index=False))

# %%
# 모델은 무엇을 틀릴까요? 아래는 혼동 행렬(confusion matrix)입니다. *관찰:* 셔츠(Shirt)를 보고, 셔츠를 무엇으로
# 착각하는지 찾아보십시오.

_ = tk.plot_confusion(fine_tuned, language="ko")

# %%
# 모델은 자기가 틀릴 때를 알고 있을까요? 대각선보다 아래에 있으면 실제 정확도보다 지나치게 확신하는 것이고, 위에 있으면 덜 확신하는
# 것입니다. 그림 아래에는 네 모델의 평균 확신도(confidence)가 나옵니다.

_ = tk.plot_reliability(fine_tuned, language="ko")
for run in runs:
    frame = run.predictions_frame()
    print(f"{run.name}: 정답률 {frame['right'].mean():.1%}, 평균 확신도 {frame['probability'].mean():.1%},", end=" ")
    print(f"틀렸을 때의 확신도 {frame.loc[~frame['right'], 'probability'].mean():.1%}")

# %%
# 토의
# ----
#
# *자기 표* 를 보고 각 질문에 두세 문장으로 답해 보십시오.
#
# 1. 전이 학습(transfer learning)이 도움이 되었습니까? 2b를 2c와, 그리고 1과 비교하십시오. 이 둘은 서로 다른
#    질문입니다.
# 2. 비용은 얼마나 들었습니까? 정확도만 보지 말고 학습 시간과 학습되는 파라미터 수도 비교하십시오.
# 3. 정확도로 본 1등과 손실로 본 1등이 같습니까? 다르다면 왜 그렇습니까?
# 4. 처음부터 학습한 MobileNet은 크게 뒤처집니다. MobileNet이 이 데이터에 맞지 않는 네트워크라는 뜻입니까?
# 5. 다른 시드(seed) 세 개로 다시 학습한 뒤에도 여전히 주장할 수 있는 차이는 어느 것입니까?
# 6. 학습 이미지가 1,000장이 아니라 60,000장이라면 어떻게 되리라고 예상합니까?
#
# 토의 예시
# ---------
#
# 이 페이지에 나온 결과에 대한 토의입니다. 여러분의 결과가 다르면 토의도 달라야 합니다.
#
# *도움이 되었는가?* 같은 네트워크를 거의 같은 방법으로 학습시켜 비교하면, 크게 도움이 되었습니다. 미세 조정한 MobileNet은
# 처음부터 학습한 것보다 14%p쯤 앞서며, 우연으로는 도저히 볼 수 없는 차이입니다. 작은 CNN보다도 3.5%p 높고, 신뢰구간은 2.9에서
# 4.2까지입니다. 동결한 MobileNet은 CNN보다 6%p쯤 뒤집니다. 그러므로 여기서 MobileNet에는 사전 학습이 꼭 필요하고, 사전 학습된
# 특징을 그대로 쓰는 것만으로는 옷을 가려내기에 모자라며, 옷에 맞게 조정하면 처음부터 배우는 작은 네트워크보다 낫습니다.
#
# *비용은 얼마인가?* 동결한 네트워크는 파라미터 10,250개만 학습했고, CNN의 10분의 1쯤 되는 시간에 끝났습니다. 미세 조정은
# 파라미터가 열일곱 배 넘게 많고 시간도 CNN의 두 배 넘게 걸려, 그 값으로 3.5%p를 얻었습니다.
#
# *정확도인가, 손실인가?* 여기서는 네 모델의 순서가 둘 다 같습니다. 다른 것은 확신도입니다. CNN과 미세 조정한 네트워크는 실제
# 정확도보다 덜 확신하고(레이블 스무딩 때문입니다), 레이블 스무딩 없이 학습한 동결 네트워크는 실제 정확도보다 더 확신합니다. 어떤 척도로
# 비교할지는 결과를 보기 전에 정해야 합니다.
#
# *처음부터 학습한 MobileNet은 나쁜 네트워크인가?* 이 결과로는 그렇게 말할 수 없습니다. 가중치가 320만 개인 네트워크를
# 이미지 1,000장으로 열다섯 에포크 동안 모두 480번 갱신했을 뿐인데, 학습 이미지는 거의 외우고 있습니다. 여기서 알 수 있는 것은 사전
# 학습이 필요한 이미지와 시간을 크게 줄여 준다는 점, 그리고 비어 있는 큰 네트워크에는 둘 다 더 필요하다는 점입니다. 네 모델은
# 에포크 수도 다릅니다(60, 10, 16, 15). 보고서도 *학습 조건이 서로 다릅니다* 라고 스스로 밝힙니다.
#
# *어디까지 말할 수 있는가?* 네트워크마다 한 번씩만 학습했습니다. 신뢰구간은 테스트 이미지가 달라질 때의 변동만 나타내고 시드에 따른
# 변동은 나타내지 않습니다. 그래서 보고서에 적힌 대로, 이것은 *학습을 마친 이 모델들* 을 비교한 결과입니다. 학습 방법을 비교하려면
# ``tk.repeat(build, data, seeds=range(3))`` 처럼 여러 시드로 학습해야 합니다. 또한 사전 학습은 학습
# 이미지가 적을수록 유리합니다. 60,000장이면 작은 CNN도 훨씬 많은 것을 배울 수 있습니다.
#
# 이슈에 올리기
# -------------
#
# 아래에 나온 것을 모두 복사하여 이슈의 댓글에 붙이고, 그 위에 자신의 토의를 적으십시오. 표는 GitHub이 그려 줍니다.

print(comparison.to_markdown(language="ko"))

# %%
# 노트북에서는 GitHub에 올렸을 때와 같은 모습을 미리 볼 수 있습니다.

comparison

# %%
# 그림도 댓글에 끌어다 놓을 수 있습니다.
# ``comparison.plot(language="ko").savefig("comparison.png", dpi=150,
# bbox_inches="tight")`` 로 저장하십시오.
